import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";
import { haveTools } from "../support/tools.ts";
import { runChecked } from "./support/programs.ts";

const TOPIC = "orders";
const PARTITIONS = [0, 1, 2, 3];
const FLAGS = [
  "--kafka-mode=per-gateway",
  "--kafka-advertised-address=127.0.0.1:{kafka-port}",
  "--groups-initial-rebalance-delay-ms=0",
];

/** Where each gateway is a broker of its own, whichever a client asks names a coordinator that works. */
describe.runIf(haveEtcd())("groups on gateways that are brokers of their own", () => {
  let cluster: OttlaCluster;

  beforeAll(async () => {
    const shape = { coordinators: 1, storageNodes: 1, groupCoordinators: 1, gateways: 2 };
    cluster = await OttlaCluster.start(shape, FLAGS);
  });

  afterAll(async () => {
    await cluster?.stop();
  });

  function addressOf(gateway: number): string {
    return `127.0.0.1:${cluster.node("gateway", gateway).kafkaPort}`;
  }

  function kafkaAt(gateway: number): Kafka {
    const retry = { initialRetryTime: 50, maxRetryTime: 500, retries: 100 };
    const brokers = [addressOf(gateway)];
    return new Kafka({ clientId: "kafkajs", brokers, logLevel: logLevel.NOTHING, retry });
  }

  async function join(gateway: number, changed: () => void) {
    const values: string[] = [];
    let assigned: readonly number[] = [];
    const consumer = kafkaAt(gateway).consumer({
      groupId: "kafkajs",
      sessionTimeout: 6_000,
      heartbeatInterval: 100,
      rebalanceTimeout: 6_000,
      maxWaitTimeInMs: 100,
    });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      assigned = payload.memberAssignment[TOPIC] ?? [];
      changed();
    });
    await consumer.connect();
    await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    await consumer.run({
      autoCommitThreshold: 1,
      eachMessage: async ({ message }) => {
        values.push(message.value?.toString() ?? "");
        changed();
      },
    });
    return { values, assigned: () => assigned, close: () => consumer.disconnect() };
  }

  test("each gateway names a broker that is there, and both name the same two", async () => {
    for (const gateway of [1, 2]) {
      const admin = kafkaAt(gateway).admin();
      await admin.connect();
      const { brokers } = await admin.describeCluster();
      const ports = brokers.map(({ port }) => port).toSorted((left, right) => left - right);
      const expected = [1, 2].map((nodeId) => cluster.node("gateway", nodeId).kafkaPort);
      expect(ports).toEqual(expected.toSorted((left, right) => left - right));
      await admin.disconnect();
    }
  });

  test("kafkajs: members at both gateways share, and go on when one of the gateways is killed", async () => {
    let wake: () => void = () => undefined;
    const until = async (condition: () => boolean): Promise<void> => {
      while (!condition()) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    const produce = async (first: number): Promise<void> => {
      const producer = kafkaAt(2).producer();
      await producer.connect();
      const messages = PARTITIONS.map((partition) => ({ partition, value: String(first + partition) }));
      await producer.send({ topic: TOPIC, messages });
      await producer.disconnect();
    };
    const admin = kafkaAt(1).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS.length }] });
    await admin.disconnect();
    const members = [await join(1, () => wake()), await join(2, () => wake())];
    const values = (): Set<string> => new Set(members.flatMap((member) => member.values));
    await until(() => members.every((member) => member.assigned().length === 2));
    await produce(0);
    await until(() => values().size === 4);
    await cluster.node("gateway", 1).end("SIGKILL");
    await produce(4);
    await until(() => values().size === 8);
    expect([...values()].toSorted()).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
    await Promise.all(members.map((member) => member.close()));
    await cluster.node("gateway", 1).launch();
  });

  test.runIf(haveTools("kcat"))("kcat -G: a group goes on at the other gateway", async () => {
    const group = ["-G", "kcat", "-c", "2", "-X", "auto.offset.reset=earliest", "kcat"];
    const read = (gateway: number) => runChecked("kcat", ["-b", addressOf(gateway), "-q", ...group]);
    const send = (input: string) =>
      runChecked("kcat", ["-b", addressOf(1), "-P", "-t", "kcat", "-p", "0"], { input });
    await send("1\n2\n");
    expect(await read(1)).toBe("1\n2\n");
    await send("3\n4\n");
    expect(await read(2)).toBe("3\n4\n");
  });
});
