import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { JAVA_FLAGS } from "./support/java-tools.ts";
import { haveClients, pythonProgram, RunningProgram } from "./support/programs.ts";
import { readOverGrpc, textOf } from "./support/read-over-grpc.ts";

const COUNT = 60_000;
const KILLS = 3;

const expected = {
  kills: KILLS,
  exitCode: 0,
  lost: [],
  reported: `acknowledged ${COUNT}`,
  partitions: [0, 1].map((partition) =>
    Array.from({ length: COUNT / 2 }, (_, index) => index * 2 + partition),
  ),
};

/** Whoever produces idempotently sees no difference when the server is killed: it only takes longer. */
describe("the server is killed while an idempotent producer sends", () => {
  let server: OttlaServer;
  let producer: RunningProgram | undefined;

  beforeEach(async () => {
    server = await OttlaServer.start({ flags: ["--num-partitions", "2"] });
  });

  afterEach(async () => {
    await producer?.kill();
    await server.stop();
  });

  /**
   * Runs the producer to its end, with kills in its midst; says what it reported and what
   * is in the partitions.
   */
  async function produceThroughKills(program: string, parameters: readonly string[]) {
    const sender = new RunningProgram(program, [...parameters, server.kafkaAddress, "numbers", `${COUNT}`]);
    producer = sender;
    await sender.untilOutput("sending");
    let kills = 0;
    while (kills < KILLS && sender.isRunning) {
      const before = await endOffsets();
      await server.kill();
      await server.launch();
      kills++;
      // Until it has gone on after the restart, another kill would hit an idle server.
      await untilGrown(before, sender);
    }
    const { exitCode, output, errors } = await sender.untilEnd();
    const partitions: number[][] = [];
    for (const partition of [0, 1]) {
      const records = await readOverGrpc(server, "numbers", partition);
      partitions.push(records.map(({ value }) => Number(textOf(value))));
    }
    const lost = errors.split("\n").filter((line) => line.includes("lost"));
    return { kills, exitCode, lost, reported: output.split("\n").at(-2), partitions };
  }

  async function endOffsets(): Promise<number> {
    const partitions = await Promise.all(
      [0, 1].map((partition) => readOverGrpc(server, "numbers", partition)),
    );
    return partitions.reduce((sum, records) => sum + records.length, 0);
  }

  async function untilGrown(before: number, sender: RunningProgram): Promise<void> {
    while (sender.isRunning && (await endOffsets()) <= before);
  }

  test.runIf(haveClients("python"))("confluent-kafka: nothing lost, nothing twice, order kept", async () => {
    const script = join(import.meta.dirname, "python/restart_producer.py");
    expect(await produceThroughKills(pythonProgram, [script])).toEqual(expected);
  });

  test.runIf(haveClients("java"))("Kafka's client: nothing lost, nothing twice, order kept", async () => {
    expect(await produceThroughKills("java", [...JAVA_FLAGS, "RestartProducer"])).toEqual(expected);
  });
});
