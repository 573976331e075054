import { inspect } from "node:util";
import {
  Admin,
  allowedCompressionsAlgorithms,
  ConfigResourceTypes,
  IncrementalAlterConfigOperationTypes,
  ListOffsetTimestamps,
  Producer,
  stringSerializers,
} from "@platformatic/kafka";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { readOverGrpc, textOf } from "./support/read-over-grpc.ts";

describe("@platformatic/kafka", () => {
  let server: OttlaServer;
  let admin: Admin;

  beforeAll(async () => {
    server = await OttlaServer.start();
    admin = new Admin({ clientId: "platformatic", bootstrapBrokers: [server.kafkaAddress] });
  });

  afterAll(async () => {
    await admin.close();
    await server.stop();
  });

  function newProducer(idempotent: boolean) {
    return new Producer({
      clientId: "platformatic",
      bootstrapBrokers: [server.kafkaAddress],
      serializers: stringSerializers,
      idempotent,
    });
  }

  const runs = [false, true].flatMap((idempotent) =>
    allowedCompressionsAlgorithms.map((codec) => [codec, idempotent] as const),
  );

  test.each(runs)("produces with codec %s, idempotent %s", async (compression, idempotent) => {
    const topic = `codec-${compression}-${idempotent}`;
    await admin.createTopics({ topics: [topic], partitions: 2 });
    const producer = newProducer(idempotent);
    for (let first = 0; first < 300; first += 100) {
      const messages = Array.from({ length: 100 }, (_, index) => ({
        topic,
        partition: 1,
        key: `key ${first + index}`,
        value: `value ${first + index}`,
        headers: { number: String(first + index) },
        timestamp: BigInt(1_700_000_000_000 + first + index),
      }));
      const { offsets } = await producer.send({ messages, compression, acks: -1 });
      expect(offsets).toEqual([{ topic, partition: 1, offset: BigInt(first) }]);
    }
    await producer.close();
    const records = await readOverGrpc(server, topic, 1);
    expect(records).toHaveLength(300);
    for (const [index, record] of records.entries()) {
      expect([textOf(record.key), textOf(record.value)]).toEqual([`key ${index}`, `value ${index}`]);
      expect(record.timestampMs).toBe(1_700_000_000_000 + index);
      expect(record.headers.map(({ key, value }) => [key, textOf(value)])).toEqual([
        ["number", String(index)],
      ]);
    }
  });

  test("administers topics", async () => {
    const [created] = await admin.createTopics({ topics: ["topics"], partitions: 3, replicas: 1 });
    expect(created).toMatchObject({ name: "topics", partitions: 3, replicas: 1 });
    const again = await admin.createTopics({ topics: ["topics"] }).catch((error: unknown) => error);
    expect(inspect(again, { depth: 5 })).toContain("TOPIC_ALREADY_EXISTS");
    await admin.createPartitions({ topics: [{ name: "topics", count: 5 }] });
    const { topics } = await admin.metadata({ topics: ["topics"], forceUpdate: true });
    expect(topics.get("topics")).toMatchObject({ id: created?.id, partitionsCount: 5 });
    expect(await admin.listTopics()).toContain("topics");
    await admin.deleteTopics({ topics: ["topics"] });
    expect(await admin.listTopics()).not.toContain("topics");
  });

  test("describes and alters settings", async () => {
    await admin.createTopics({ topics: ["configs"] });
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: "configs" };
    const retention = async (): Promise<string | null | undefined> => {
      const [described] = await admin.describeConfigs({ resources: [resource], includeDocumentation: true });
      return described?.configs.find(({ name }) => name === "retention.ms")?.value;
    };
    const before = await retention();
    const { SET, DELETE } = IncrementalAlterConfigOperationTypes;
    const set = { name: "retention.ms", configOperation: SET, value: "12345" };
    await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [set] }] });
    expect(await retention()).toBe("12345");
    const unset = { name: "retention.ms", configOperation: DELETE };
    await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [unset] }] });
    expect(await retention()).toBe(before);
    await admin.alterConfigs({
      resources: [{ ...resource, configs: [{ name: "retention.ms", value: "54321" }] }],
    });
    expect(await retention()).toBe("54321");
  });

  test("queries offsets, deletes records, describes log directories", async () => {
    await admin.createTopics({ topics: ["offsets"] });
    const producer = newProducer(false);
    for (const timestamp of [5_000n, 9_000n, 7_000n, 8_000n]) {
      await producer.send({ messages: [{ topic: "offsets", partition: 0, value: "x", timestamp }] });
    }
    await producer.close();
    const offset = async (timestamp: bigint): Promise<bigint | undefined> => {
      const partitions = [{ partitionIndex: 0, timestamp }];
      const [listed] = await admin.listOffsets({ topics: [{ name: "offsets", partitions }] });
      return listed?.partitions[0]?.offset;
    };
    expect(await offset(ListOffsetTimestamps.EARLIEST)).toBe(0n);
    expect(await offset(ListOffsetTimestamps.LATEST)).toBe(4n);
    expect(await offset(ListOffsetTimestamps.MAX)).toBe(1n);
    expect(await offset(6_000n)).toBe(1n);
    const partitions = [{ partition: 0, offset: 3n }];
    const deleted = await admin.deleteRecords({ topics: [{ name: "offsets", partitions }] });
    expect(deleted).toEqual([{ name: "offsets", partitions: [{ partition: 0, lowWatermark: 3n }] }]);
    expect(await offset(ListOffsetTimestamps.EARLIEST)).toBe(3n);
    const directories = await admin.describeLogDirs({ topics: [{ name: "offsets", partitions: [0] }] });
    expect(directories[0]?.results[0]?.topics[0]?.partitions[0]?.partitionIndex).toBe(0);
  });
});
