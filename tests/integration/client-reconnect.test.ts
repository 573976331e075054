import { Ottla } from "@ottla/client";
import { describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";

const RECORDS = 30_000;
const KEYS = 50;

describe("the SDK against a real server", () => {
  test("a server killed in the middle of producing: nothing lost, nothing twice, order kept", async () => {
    const server = await OttlaServer.start();
    const ottla = new Ottla({ address: server.address });
    try {
      await ottla.admin().createTopic({ name: "t", partitions: 3 });
      const producer = ottla.producer({ lingerMs: 1, batchBytes: 4096, bufferBytes: 65_536 });
      const sent: Promise<unknown>[] = [];
      let restarting: Promise<void> = Promise.resolve();
      for (let index = 0; index < RECORDS; index++) {
        const acknowledged = producer.send({ topic: "t", key: `k${index % KEYS}`, value: String(index) });
        sent.push(acknowledged);
        if (index % 100 === 0) await acknowledged;
        if (index % 10_000 === 5000)
          restarting = restarting.then(() => server.kill()).then(() => server.launch());
      }
      await restarting;
      await Promise.all(sent);
      await producer.close();
      const valuesByKey = await readByKey(ottla);
      for (let key = 0; key < KEYS; key++) {
        const expected = Array.from({ length: RECORDS / KEYS }, (_, index) => index * KEYS + key);
        expect(valuesByKey.get(`k${key}`)).toEqual(expected);
      }
    } finally {
      await ottla.close();
      await server.stop();
    }
  });

  test("a consumer goes on where it was when the server was killed and started again", async () => {
    const server = await OttlaServer.start();
    const ottla = new Ottla({ address: server.address });
    try {
      await ottla.admin().createTopic({ name: "t", partitions: 1 });
      const producer = ottla.producer();
      const send = async (from: number, to: number) => {
        for (let index = from; index < to; index++) producer.post({ topic: "t", value: String(index) });
        await producer.flush();
      };
      await send(0, 1000);
      const consumer = ottla.consumer();
      await consumer.assign([{ topic: "t", offset: "earliest" }]);
      const seen: string[] = [];
      for await (const record of consumer) {
        seen.push(Buffer.from(record.value ?? []).toString());
        if (seen.length === 500) {
          await server.kill();
          await server.launch();
          await send(1000, 1500);
        }
        if (seen.length === 1500) break;
      }
      expect(seen).toEqual(Array.from({ length: 1500 }, (_, index) => String(index)));
    } finally {
      await ottla.close();
      await server.stop();
    }
  });
});

async function readByKey(ottla: Ottla): Promise<Map<string, number[]>> {
  const consumer = ottla.consumer();
  await consumer.assign([{ topic: "t", offset: "earliest" }]);
  const values = new Map<string, number[]>();
  for await (const { key, value } of consumer.records({ stopAtEnd: true })) {
    const name = Buffer.from(key ?? []).toString();
    const list = values.get(name) ?? [];
    list.push(Number(Buffer.from(value ?? []).toString()));
    values.set(name, list);
  }
  return values;
}
