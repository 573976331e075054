import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { COMPRESSIONS } from "@ottla/records";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { haveClients, pythonProgram, runChecked } from "./support/programs.ts";
import { readOverGrpc } from "./support/read-over-grpc.ts";

const script = join(import.meta.dirname, "python/exchange.py");
const RECORDS = 500;

interface SampleRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly timestampMs: number;
  readonly headers: readonly { readonly key: string; readonly value: Uint8Array | null }[];
}

/**
 * Records with every byte there is, empty and absent keys and values, repeated headers, times out of order.
 */
const samples: SampleRecord[] = Array.from({ length: RECORDS }, (_, index) => ({
  key: sampleBytes(index, 3, index % 40),
  value: sampleBytes(index, 5, (index * 37) % 2_000),
  timestampMs: 1_700_000_000_000 + ((index * 7919) % 1_000),
  headers: Array.from({ length: index % 4 }, (__, header) => ({
    key: header % 2 === 0 ? "kéy" : "other",
    value: sampleBytes(index + header, 4, header * 10),
  })),
}));

function sampleBytes(index: number, nullEvery: number, length: number): Uint8Array | null {
  if (index % nullEvery === 0) return null;
  return Uint8Array.from({ length }, (_, position) => (index * 31 + position * 7) % 256);
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString("base64");
}

function toJson({ key, value, timestampMs, headers }: SampleRecord): object {
  return {
    key: base64(key),
    value: base64(value),
    timestampMs,
    headers: headers.map((header) => ({ key: header.key, value: base64(header.value) })),
  };
}

describe.runIf(haveClients("python"))("gRPC and Kafka on the same records", () => {
  let server: OttlaServer;
  let client: Ottla;

  beforeAll(async () => {
    server = await OttlaServer.start();
    client = new Ottla({ address: server.address });
  });

  afterAll(async () => {
    await client.close();
    await server.stop();
  });

  test.each(COMPRESSIONS)("written over gRPC with codec %s, read over Kafka", async (compression) => {
    const topic = `from-grpc-${compression}`;
    await client.admin().createTopic({ name: topic });
    const producer = client.producer({ compression });
    await Promise.all(samples.map((record) => producer.send({ topic, partition: 0, ...record })));
    await producer.close();
    const output = await runChecked(pythonProgram, [
      script,
      "receive",
      server.kafkaAddress,
      topic,
      `${RECORDS}`,
    ]);
    const received = output
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(received).toEqual(samples.map(toJson));
  });

  test.each(COMPRESSIONS)("written over Kafka with codec %s, read over gRPC", async (compression) => {
    const topic = `from-kafka-${compression}`;
    await client.admin().createTopic({ name: topic });
    const input = samples.map((record) => `${JSON.stringify(toJson(record))}\n`).join("");
    await runChecked(pythonProgram, [script, "send", server.kafkaAddress, topic, compression], { input });
    const records = await readOverGrpc(server, topic);
    expect(records.map(toJson)).toEqual(samples.map(toJson));
  });

  test("a topic created by one is administered by the other", async () => {
    const topic = "administered-by-both";
    const kafka = new Kafka({ brokers: [server.kafkaAddress], logLevel: logLevel.NOTHING }).admin();
    await kafka.connect();
    await client.admin().createTopic({ name: topic, partitions: 2 });
    expect(await kafka.listTopics()).toContain(topic);
    await kafka.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    expect(await client.admin().countPartitions(topic)).toBe(3);
    await client.admin().deleteTopic(topic);
    expect(await kafka.listTopics()).not.toContain(topic);
    await kafka.createTopics({ topics: [{ topic }] });
    expect(await client.admin().countPartitions(topic)).toBe(1);
    await kafka.deleteTopics({ topics: [topic] });
    await expect(client.admin().describeTopics([topic])).rejects.toThrow(topic);
    await kafka.disconnect();
  });
});
