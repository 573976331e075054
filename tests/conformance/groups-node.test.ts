import { Consumer, Producer, stringDeserializers, stringSerializers } from "@platformatic/kafka";
import { type EachMessagePayload, Kafka, logLevel, Partitioners } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";
import { runChecked } from "./support/programs.ts";

const PARTITIONS = 4;

/** Resolves as soon as the condition holds; whoever changes something says so. */
class Progress {
  #waiting: (() => void)[] = [];

  changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }
}

describe("consumer groups", () => {
  let server: OttlaServer;
  let kafka: Kafka;

  beforeAll(async () => {
    server = await OttlaServer.start({ flags: ["--num-partitions", String(PARTITIONS)] });
    kafka = newKafka("kafkajs");
  });

  afterAll(async () => {
    await server.stop();
  });

  function newKafka(clientId: string): Kafka {
    const retry = { initialRetryTime: 50, retries: 20 };
    return new Kafka({ clientId, brokers: [server.kafkaAddress], logLevel: logLevel.NOTHING, retry });
  }

  async function produceNumbers(topic: string, first: number, count: number): Promise<void> {
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const messages = Array.from({ length: count }, (_, index) => ({
      partition: (first + index) % PARTITIONS,
      value: String(first + index),
    }));
    await producer.send({ topic, messages });
    await producer.disconnect();
  }

  async function createTopic(topic: string): Promise<void> {
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }], waitForLeaders: true });
    await admin.disconnect();
  }

  /** A kafkajs consumer that notes what it reads and what it is assigned. */
  async function startConsumer(groupId: string, topic: string) {
    const progress = new Progress();
    const values: string[] = [];
    let assigned: readonly number[] = [];
    const consumer = newKafka("kafkajs").consumer({
      groupId,
      sessionTimeout: 10_000,
      heartbeatInterval: 100,
      rebalanceTimeout: 10_000,
      maxWaitTimeInMs: 100,
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      assigned = payload.memberAssignment[topic] ?? [];
      progress.changed();
    });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommitThreshold: 1,
      eachMessage: async ({ message }: EachMessagePayload) => {
        values.push(message.value?.toString() ?? "");
        progress.changed();
      },
    });
    return { consumer, values, assigned: () => assigned, until: progress.until.bind(progress) };
  }

  test("kafkajs: members share partitions, and take over where one has left", async () => {
    const topic = "shared";
    await createTopic(topic);
    await produceNumbers(topic, 0, 40);
    const first = await startConsumer("kafkajs-group", topic);
    await first.until(() => first.values.length === 40);
    expect(first.assigned()).toHaveLength(PARTITIONS);
    const second = await startConsumer("kafkajs-group", topic);
    await second.until(() => second.assigned().length === PARTITIONS / 2);
    await first.until(() => first.assigned().length === PARTITIONS / 2);
    await produceNumbers(topic, 40, 40);
    await first.until(() => first.values.length >= 60);
    await second.until(() => second.values.length >= 20);
    await first.consumer.disconnect();
    await second.until(() => second.assigned().length === PARTITIONS);
    await produceNumbers(topic, 80, 20);
    await second.until(() => second.values.length >= 40);
    await second.consumer.disconnect();
    const all = [...first.values, ...second.values].map(Number).toSorted((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  test("kafkajs: the admin lists, describes, fetches and resets offsets, and deletes", async () => {
    const topic = "administered";
    await createTopic(topic);
    await produceNumbers(topic, 0, 8);
    const member = await startConsumer("admin-group", topic);
    await member.until(() => member.values.length === 8);
    const admin = kafka.admin();
    await admin.connect();
    const { groups } = await admin.describeGroups(["admin-group"]);
    expect(groups[0]).toMatchObject({ state: "Stable", protocolType: "consumer" });
    expect(groups[0]?.members.map(({ clientId }) => clientId)).toEqual(["kafkajs"]);
    await member.consumer.disconnect();
    const fetched = await admin.fetchOffsets({ groupId: "admin-group", topics: [topic] });
    expect(fetched[0]?.partitions.map(({ offset }) => offset)).toEqual(["2", "2", "2", "2"]);
    await admin.resetOffsets({ groupId: "admin-group", topic, earliest: true });
    const again = await startConsumer("admin-group", topic);
    await again.until(() => again.values.length === 8);
    await again.consumer.disconnect();
    expect((await admin.listGroups()).groups.map(({ groupId }) => groupId)).toContain("admin-group");
    await admin.deleteGroups(["admin-group"]);
    expect((await admin.listGroups()).groups.map(({ groupId }) => groupId)).not.toContain("admin-group");
    await admin.disconnect();
  });

  test("@platformatic/kafka: a consumer of a group reads on where the one before it stopped", async () => {
    const topic = "platformatic";
    await createTopic(topic);
    const producer = new Producer({
      clientId: "platformatic",
      bootstrapBrokers: [server.kafkaAddress],
      serializers: stringSerializers,
    });
    const send = (values: readonly string[]) =>
      producer.send({
        messages: values.map((value, index) => ({ topic, partition: index % PARTITIONS, value })),
      });
    const readSome = async (count: number): Promise<string[]> => {
      const consumer = new Consumer({
        clientId: "platformatic",
        groupId: "platformatic-group",
        bootstrapBrokers: [server.kafkaAddress],
        deserializers: stringDeserializers,
      });
      const stream = await consumer.consume({
        topics: [topic],
        mode: "committed",
        fallbackMode: "earliest",
        autocommit: false,
        maxWaitTime: 100,
      });
      const values: string[] = [];
      for await (const message of stream) {
        values.push(message.value);
        await message.commit();
        if (values.length === count) break;
      }
      await consumer.close(true);
      return values.toSorted();
    };
    await send(["a", "b", "c", "d"]);
    expect(await readSome(4)).toEqual(["a", "b", "c", "d"]);
    await send(["e", "f"]);
    expect(await readSome(2)).toEqual(["e", "f"]);
    await producer.close();
  });

  test.runIf(haveTools("kcat"))("kcat -G: a group goes on after the server was killed", async () => {
    const kcat = (...parameters: string[]) => ["-b", server.kafkaAddress, ...parameters];
    const read = (count: number) =>
      runChecked(
        "kcat",
        kcat("-q", "-G", "kcat-group", "-c", String(count), "-X", "auto.offset.reset=earliest", "killed"),
      );
    await runChecked("kcat", kcat("-P", "-t", "killed", "-p", "0"), { input: "1\n2\n3\n" });
    expect(await read(3)).toBe("1\n2\n3\n");
    await runChecked("kcat", kcat("-P", "-t", "killed", "-p", "0"), { input: "4\n5\n" });
    await server.kill();
    await server.launch();
    expect(await read(2)).toBe("4\n5\n");
  });

  test("kafkajs: a member that runs goes on by itself when the server comes back", async () => {
    const topic = "running";
    await createTopic(topic);
    const member = await startConsumer("running-group", topic);
    await produceNumbers(topic, 0, 4);
    await member.until(() => member.values.length === 4);
    await server.kill();
    await server.launch();
    await produceNumbers(topic, 4, 4);
    await member.until(() => new Set(member.values).size === 8);
    expect([...new Set(member.values)].toSorted()).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
    await member.consumer.disconnect();
  });
});
