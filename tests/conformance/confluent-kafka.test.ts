import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { failureOf, haveClients, pythonProgram } from "./support/programs.ts";

const script = join(import.meta.dirname, "python/confluent_checks.py");

const checks = {
  records: "keys, values, headers and timestamps come back, nulls among them",
  codecs: "batches of every codec come back",
  stored_codec: "a topic's own compression.type is readable whatever the producer chose",
  acks: "acks 0, 1 and all",
  idempotence: "an idempotent producer with five requests in flight keeps the order of each partition",
  large_records: "10 MB messages, once max.message.bytes allows them",
  timestamps: "LogAppendTime replaces the producer's timestamp",
  positions: "watermarks, offsets_for_times, assign at an offset, seek",
  out_of_range: "offsets outside the log are out of range, and reset where the consumer asks for it",
  many_partitions: "100 partitions in one fetch session",
  admin_topics: "create, describe, extend and delete topics, with exact error codes",
  admin_configs: "describe and alter topic settings, both ways",
  admin_offsets: "list offsets: earliest, latest, largest timestamp, by time",
  cluster: "the cluster is one broker, which is its controller",
  auto_creation: "a producer creates a topic by using it, a consumer does not",
  transactions: "transactions are refused at once",
};

describe.runIf(haveClients("python"))("confluent-kafka (librdkafka)", () => {
  let server: OttlaServer;

  beforeAll(async () => {
    server = await OttlaServer.start();
  });

  afterAll(async () => {
    await server.stop();
  });

  test.each(Object.entries(checks))("%s: %s", async (check) => {
    expect(await failureOf(pythonProgram, [script, check, server.kafkaAddress])).toBe("");
  });
});
