import { apiVersions, FrameReader, fetch, metadata, produce, ZERO_UUID } from "@ottla/kafka-protocol";
import { expect, test } from "vitest";
import { encodeRequest, KafkaTestClient } from "../support/kafka-client.ts";
import {
  batchOf,
  connectKafka,
  createTopic,
  fetchRequest,
  metadataOf,
  produceBatch,
  startKafkaNode,
} from "./kafka-support.ts";

const NAMED = { clientSoftwareName: "test", clientSoftwareVersion: "1" };

test("a version of ApiVersions that nobody knows is answered in the form of version 0", async () => {
  const { kafka } = await startKafkaNode();
  const frame = encodeRequest(apiVersions, 4, NAMED, 1);
  frame.writeInt16BE(77, 2);
  const reader = new FrameReader(await kafka.callFrame(frame));
  expect(reader.int32()).toBe(1);
  const answer = apiVersions.decodeResponse(reader, 0);
  expect(answer.errorCode).toBe(35);
  expect(answer.apiKeys.length).toBeGreaterThan(15);
  expect((await kafka.call(apiVersions, 4, NAMED)).errorCode).toBe(0);
});

test("what cannot be a request ends its connection and no other", async () => {
  const { kafka, port } = await startKafkaNode({ kafka: { maxRequestBytes: 70_000 } });
  const garbage: readonly (readonly Uint8Array[])[] = [
    [Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
    [Buffer.from([0xff, 0xff, 0xff, 0xff])],
    [Buffer.from([0x00, 0x01, 0x11, 0x71]), Buffer.alloc(10)],
    [Buffer.from([0, 0, 0, 2]), Buffer.from([0, 3])],
    [Buffer.from([0, 0, 0, 10]), Buffer.from([0x7f, 0x7f, 0, 0, 0, 0, 0, 1, 0xff, 0xff])],
  ];
  for (const pieces of garbage) {
    const client = await connectKafka(port);
    client.sendBytes(pieces);
    await client.untilClosed();
  }
  const tooOld = await connectKafka(port);
  const frame = encodeRequest(produce, 3, { acks: 1, timeoutMs: 1, topicData: [] }, 1);
  frame.writeInt16BE(2, 2);
  tooOld.sendFrame(frame);
  await tooOld.untilClosed();
  expect((await metadataOf(kafka, [])).brokers).toHaveLength(1);
});

test("requests before one that cannot be understood are answered before the connection ends", async () => {
  const { kafka, port } = await startKafkaNode();
  await createTopic(kafka, "t");
  const client = await connectKafka(port);
  const answers = [produceBatch(client, "t", batchOf(["x"])), produceBatch(client, "t", batchOf(["y"]))];
  client.sendFrame(Buffer.from("nonsense"));
  expect((await Promise.all(answers)).map(({ baseOffset }) => baseOffset)).toEqual([0, 1]);
  await client.untilClosed();
});

test("a client that ends its side after its last request still gets every answer", async () => {
  const { kafka, port } = await startKafkaNode();
  await createTopic(kafka, "t");
  const client = await connectKafka(port);
  const answers = Array.from({ length: 20 }, () => produceBatch(client, "t", batchOf(["x"])));
  client.end();
  expect((await Promise.all(answers)).map(({ baseOffset }) => baseOffset)).toEqual(
    Array.from({ length: 20 }, (_, i) => i),
  );
  await client.untilClosed();
});

test("connections beyond the limit are closed, and a place that is given back is taken again", async () => {
  const { kafka, port } = await startKafkaNode({ kafka: { maxConnections: 2 } });
  const second = await connectKafka(port);
  await second.call(apiVersions, 4, NAMED);
  const third = await KafkaTestClient.connect(port);
  await third.untilClosed();
  second.close();
  await second.untilClosed();
  await kafka.call(apiVersions, 4, NAMED);
  const fourth = await connectKafka(port);
  expect((await fourth.call(apiVersions, 4, NAMED)).errorCode).toBe(0);
});

test("a client that never takes its answers costs few bytes, and nobody else waits for it", async () => {
  const { kafka, port, node } = await startKafkaNode({ topicDefaults: { "max.message.bytes": "5000000" } });
  const topicId = await createTopic(kafka, "t");
  await produceBatch(kafka, "t", batchOf(["x".repeat(4_000_000)]));
  const slow = await connectKafka(port);
  slow.pause();
  for (let index = 0; index < 90; index++) {
    slow.send(fetch, 17, fetchRequest(17, [{ topic: topicId, offset: 0, maxBytes: 5 << 20 }]));
  }
  for (let index = 0; index < 5; index++) {
    const answer = await kafka.call(
      fetch,
      17,
      fetchRequest(17, [{ topic: topicId, offset: 0, maxBytes: 5 << 20 }]),
    );
    expect(answer.responses[0]?.partitions[0]?.records?.byteLength).toBeGreaterThan(4_000_000);
  }
  const metrics = await (await globalThis.fetch(`${node.httpUrl}/metrics`)).text();
  const held = Number(/^ottla_gateway_kafka_fetch_bytes (\d+)$/m.exec(metrics)?.[1]);
  expect(held).toBeGreaterThan(0);
  expect(held).toBeLessThanOrEqual(2 * (5 << 20));
  slow.close();
});

test("partly sent requests of all clients are bounded together, and each still becomes whole", async () => {
  const settings = { maxTotalRequestBytes: 1 << 20, maxRequestBytes: 2 << 20 };
  const { kafka, port, node } = await startKafkaNode({ kafka: settings });
  await createTopic(kafka, "t");
  const request = {
    acks: -1,
    timeoutMs: 10_000,
    topicData: [{ name: "t", partitionData: [{ index: 0, records: batchOf(["x".repeat(900_000)]) }] }],
  };
  const frame = encodeRequest(produce, 12, request, 1);
  const length = Buffer.alloc(4);
  length.writeInt32BE(frame.byteLength);
  const gone = await connectKafka(port);
  gone.sendBytes([length, frame.subarray(0, 800_000)]);
  await untilMetric(node.httpUrl, "ottla_gateway_kafka_request_bytes", 800_000);
  const clients = await Promise.all(Array.from({ length: 4 }, () => connectKafka(port)));
  const answers = clients.map((client) => client.callFrame(frame));
  gone.close();
  expect(await Promise.all(answers)).toHaveLength(4);
  expect(await untilMetric(node.httpUrl, "ottla_gateway_kafka_request_bytes", 0)).toBe(0);
});

test("a fetch that waits is called back when its client goes away", async () => {
  const { kafka, port, node } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t");
  const waiting = await connectKafka(port);
  waiting.send(fetch, 17, fetchRequest(17, [{ topic: topicId, offset: 0 }], { maxWaitMs: 290_000 }));
  await untilMetric(node.httpUrl, "ottla_gateway_pending_fetches", 1);
  waiting.close();
  expect(await untilMetric(node.httpUrl, "ottla_gateway_pending_fetches", 0)).toBe(0);
});

/** Looks until the metric has the value, which it must take. */
async function untilMetric(url: string, name: string, wanted: number): Promise<number> {
  for (;;) {
    const text = await (await globalThis.fetch(`${url}/metrics`)).text();
    const value = Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]);
    if (value === wanted) return value;
  }
}

test("a stopping gateway answers requests that have begun, and those that wait at once", async () => {
  const { kafka, node } = await startKafkaNode();
  const topicId = await createTopic(kafka, "t");
  const waiting = kafka.call(
    fetch,
    17,
    fetchRequest(17, [{ topic: topicId, offset: 0 }], { maxWaitMs: 290_000 }),
  );
  await untilMetric(node.httpUrl, "ottla_gateway_pending_fetches", 1);
  const stopped = node.stop();
  expect((await waiting).responses[0]?.partitions[0]?.errorCode).toBe(0);
  await kafka.untilClosed();
  await stopped;
});

test("many idle connections are served at once", async () => {
  const { port } = await startKafkaNode();
  const clients = await Promise.all(Array.from({ length: 200 }, () => connectKafka(port)));
  const answers = await Promise.all(
    clients.map((client) =>
      client.call(metadata, 12, {
        topics: [{ name: "x", topicId: ZERO_UUID }],
        allowAutoTopicCreation: false,
      }),
    ),
  );
  expect(answers.every(({ topics }) => topics[0]?.errorCode === 3)).toBe(true);
});
