import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { failureOf, haveClients, pythonProgram } from "./support/programs.ts";

const script = join(import.meta.dirname, "python/group_checks.py");

const checks = {
  sharing: "two members share a topic, and one takes over from the other",
  silent: "a member that dies without a word is replaced after its session",
  cooperative: "cooperative members keep what does not move",
  static_restart: "a static member comes back to its partitions without a rebalance",
  metadata: "offsets are committed with metadata, and read back",
  fenced: "a second process with the same static id fences the first",
};

describe.runIf(haveClients("python"))("groups with confluent-kafka (librdkafka)", () => {
  let server: OttlaServer;

  beforeAll(async () => {
    server = await OttlaServer.start();
  });

  afterAll(async () => {
    await server.stop();
  });

  test.each(Object.entries(checks))("%s: %s", async (check) => {
    expect(await failureOf(pythonProgram, [script, check, server.kafkaAddress, "classic"])).toBe("");
  });
});
