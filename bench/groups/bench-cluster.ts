import { KafkaTestClient } from "@ottla/tests/support/kafka-client";
import { OttlaCluster } from "@ottla/tests/support/ottla-cluster";
import { cpuMs } from "../kafka-subjects.ts";
import type { CommitServer } from "./commits.ts";

/**
 * A process for each role, three storage nodes, and so three replicas of what groups write: all commits go
 * through one group-coordinator. PROFILE_DIRECTORY=... has each leave a processor profile there.
 */
export class BenchCluster implements CommitServer {
  readonly #cluster: OttlaCluster;

  private constructor(cluster: OttlaCluster) {
    this.#cluster = cluster;
  }

  static async start(): Promise<BenchCluster> {
    const directory = process.env["PROFILE_DIRECTORY"];
    if (directory !== undefined) process.env["NODE_OPTIONS"] = `--cpu-prof --cpu-prof-dir=${directory}`;
    const shape = { coordinators: 1, storageNodes: 3, groupCoordinators: 1, gateways: 1 };
    return new BenchCluster(await OttlaCluster.start(shape));
  }

  connect(): Promise<KafkaTestClient> {
    return KafkaTestClient.connect(this.#cluster.node("gateway", 1).kafkaPort);
  }

  processorMs(): Promise<ReadonlyMap<string, number>> {
    const spent = new Map<string, number>();
    for (const { processId = -1, role } of this.#cluster.nodes) {
      spent.set(role, (spent.get(role) ?? 0) + cpuMs(processId));
    }
    return Promise.resolve(spent);
  }

  async stop(): Promise<void> {
    if (process.env["PROFILE_DIRECTORY"] !== undefined) {
      await Promise.all(this.#cluster.nodes.map((node) => node.end("SIGTERM")));
    }
    await this.#cluster.stop();
  }
}
