import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { failureOf, haveClients, pythonProgram } from "./support/programs.ts";

const script = join(import.meta.dirname, "python/group_checks.py");

const shared = {
  sharing: "two members share a topic, and one takes over from the other",
  silent: "a member that dies without a word is replaced after its session",
  cooperative: "members keep what does not move",
  static_restart: "a static member comes back to its partitions without a rebalance",
  metadata: "offsets are committed with metadata, and read back",
  migration: "members are replaced one by one by such that use the other protocol",
  static_migration: "static members come back with the other protocol, others keep what they have",
  dead_migration: "a member that hangs while the group changes its protocol is out after its session",
};

const checks = [
  ...Object.entries(shared).map(([check, about]) => [check, "classic", about] as const),
  ["fenced", "classic", "a second process with the same static id fences the first"] as const,
  ...Object.entries(shared).map(([check, about]) => [check, "consumer", about] as const),
  ["pattern", "consumer", "a regular expression follows the topics that there are"] as const,
];

describe.runIf(haveClients("python"))("groups with confluent-kafka (librdkafka)", () => {
  let server: OttlaServer;

  beforeAll(async () => {
    server = await OttlaServer.start({
      flags: [
        "--groups-consumer-heartbeat-interval-ms",
        "200ms",
        "--groups-consumer-session-timeout-ms",
        "6s",
      ],
    });
  });

  afterAll(async () => {
    await server.stop();
  });

  test.each(checks)("%s with the %s protocol: %s", async (check, protocol) => {
    expect(await failureOf(pythonProgram, [script, check, server.kafkaAddress, protocol])).toBe("");
  });
});
