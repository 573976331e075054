import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { JAVA_FLAGS } from "./support/java-tools.ts";
import { haveClients, pythonProgram, RunningProgram } from "./support/programs.ts";
import { readOverGrpc, textOf } from "./support/read-over-grpc.ts";

const COUNT = 60_000;
const KILLS = 3;

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

  async function checkNothingLost(program: string, parameters: readonly string[]): Promise<void> {
    const sender = new RunningProgram(program, [...parameters, server.kafkaAddress, "numbers", `${COUNT}`]);
    producer = sender;
    await sender.untilOutput("sending");
    let killsInMidst = 0;
    for (let kill = 0; kill < KILLS && sender.isRunning; kill++) {
      const before = await endOffsets();
      await server.kill();
      await server.launch();
      killsInMidst++;
      // Until it has gone on after the restart, another kill would hit an idle server.
      await untilGrown(before, sender);
    }
    const { exitCode, output, errors } = await sender.untilEnd();
    expect(errors).not.toContain("lost");
    expect(exitCode).toBe(0);
    expect(output).toContain(`acknowledged ${COUNT}`);
    expect(killsInMidst).toBe(KILLS);
    for (const partition of [0, 1]) {
      const values = (await readOverGrpc(server, "numbers", partition)).map(({ value }) =>
        Number(textOf(value)),
      );
      expect(values).toEqual(Array.from({ length: COUNT / 2 }, (_, index) => index * 2 + partition));
    }
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
    await checkNothingLost(pythonProgram, [join(import.meta.dirname, "python/restart_producer.py")]);
  });

  test.runIf(haveClients("java"))(
    "Kafka's Java client: nothing lost, nothing twice, order kept",
    async () => {
      await checkNothingLost("java", [...JAVA_FLAGS, "RestartProducer"]);
    },
  );
});
