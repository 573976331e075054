import { createTopics } from "@ottla/kafka-protocol";
import { KafkaTestClient } from "@ottla/tests/support/kafka-client";
import { OttlaServer } from "@ottla/tests/support/ottla-server";
import { cpuMs } from "../kafka-subjects.ts";

export const COMMIT_VERSION = 9;

/** One `ottla serve` with all roles, and who talks to it. */
export class BenchNode {
  readonly server: OttlaServer;

  private constructor(server: OttlaServer) {
    this.server = server;
  }

  /** PROFILE_DIRECTORY=... has the server leave a processor profile there. */
  static async start(flags: readonly string[]): Promise<BenchNode> {
    const directory = process.env["PROFILE_DIRECTORY"];
    const environment: Record<string, string> =
      directory === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directory}` };
    return new BenchNode(await OttlaServer.start({ flags, environment }));
  }

  connect(): Promise<KafkaTestClient> {
    return KafkaTestClient.connect(this.server.kafkaPort);
  }

  processorMs(): Promise<ReadonlyMap<string, number>> {
    return Promise.resolve(new Map([["the node", cpuMs(this.server.processId)]]));
  }

  async metricsPage(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.server.httpPort}/metrics`)).text();
  }

  async stop(): Promise<void> {
    if (process.env["PROFILE_DIRECTORY"] !== undefined) await this.server.terminate();
    await this.server.stop();
  }
}

export async function createTopic(
  client: KafkaTestClient,
  name: string,
  numPartitions: number,
): Promise<string> {
  const topic = { name, numPartitions, replicationFactor: 1, assignments: [], configs: [] };
  const { topics } = await client.call(createTopics, 7, { topics: [topic] });
  return topics[0]?.topicId ?? "";
}

export function commitRequest(groupId: string, topic: string, partitions: number, offset: number) {
  return {
    groupId,
    memberId: "",
    topics: [
      {
        name: topic,
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          partitionIndex,
          committedOffset: offset,
          committedMetadata: "",
        })),
      },
    ],
  };
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
