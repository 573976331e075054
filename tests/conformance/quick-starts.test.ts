import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { haveEtcd } from "../support/etcd-server.ts";
import { OttlaCluster } from "../support/ottla-cluster.ts";
import { OttlaServer } from "../support/ottla-server.ts";
import { JavaTools } from "./support/java-tools.ts";
import { haveClients } from "./support/programs.ts";

interface Started {
  readonly kafkaAddress: string;
  stop(): Promise<void>;
}

async function startCluster(): Promise<Started> {
  const shape = { coordinators: 1, storageNodes: 3, groupCoordinators: 1, gateways: 1 };
  const cluster = await OttlaCluster.start(shape);
  const kafkaAddress = `127.0.0.1:${cluster.node("gateway", 1).kafkaPort}`;
  return { kafkaAddress, stop: () => cluster.stop() };
}

/** With the settings that the clients' own documentation shows, and no others: only the address is ours. */
describe.each([
  { where: "one process", start: (): Promise<Started> => OttlaServer.start(), isThere: true },
  { where: "a cluster", start: startCluster, isThere: haveEtcd() },
])("quick starts on $where", ({ start, isThere }) => {
  describe.runIf(isThere)("a fresh installation", () => {
    let ottla: Started;

    beforeAll(async () => {
      ottla = await start();
    });

    afterAll(async () => {
      await ottla?.stop();
    });

    test("kafkajs: a producer makes its topic, a group reads it from the beginning", async () => {
      const brokers = [ottla.kafkaAddress];
      const kafka = new Kafka({ clientId: "my-app", brokers, logLevel: logLevel.NOTHING });
      const producer = kafka.producer();
      await producer.connect();
      await producer.send({ topic: "test-topic", messages: [{ value: "Hello KafkaJS user!" }] });
      await producer.disconnect();
      const consumer = kafka.consumer({ groupId: "test-group" });
      await consumer.connect();
      await consumer.subscribe({ topic: "test-topic", fromBeginning: true });
      const read = Promise.withResolvers<string | undefined>();
      await consumer.run({ eachMessage: async ({ message }) => read.resolve(message.value?.toString()) });
      expect(await read.promise).toBe("Hello KafkaJS user!");
      await consumer.disconnect();
    });

    describe.runIf(haveClients("java"))("Apache Kafka", () => {
      let tools: JavaTools;

      beforeAll(() => {
        tools = new JavaTools();
      });

      afterAll(async () => {
        await tools.close();
      });

      test("its quick start: create a topic, write some events into it, read them", async () => {
        const bootstrap = `--bootstrap-server ${ottla.kafkaAddress}`;
        const topic = "--topic quickstart-events";
        await tools.run("kafka-topics", `--create ${topic} ${bootstrap}`);
        const described = await tools.run("kafka-topics", `--describe ${topic} ${bootstrap}`);
        expect(described).toMatch(/Topic: quickstart-events\s.*PartitionCount: \d/);
        await tools.run("kafka-console-producer", `${topic} ${bootstrap}`, "first event\nsecond event\n");
        const read = `${topic} --from-beginning ${bootstrap} --max-messages 2`;
        const events = await tools.run("kafka-console-consumer", read);
        expect(events.trimEnd().split("\n").toSorted()).toEqual(["first event", "second event"]);
      });

      test.each([
        ["automatic", "KafkaConsumer commits by itself"],
        ["manual", "a program commits what it has stored"],
      ])("%s offsets: %s", async (check) => {
        const outcome = await tools.runMain("QuickStart", [check, ottla.kafkaAddress]);
        expect(outcome).toMatchObject({ exitCode: 0 });
      });
    });
  });
});
