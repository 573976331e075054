import { type ConsumedRecord, type GroupConsumer, Ottla } from "@ottla/client";
import { afterEach, describe, expect, test } from "vitest";
import { startTestNode } from "./serve-support.ts";

const clients: Ottla[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

function textOf({ value }: ConsumedRecord): string {
  return Buffer.from(value ?? []).toString();
}

async function startGroups(partitions = 4) {
  const node = await startTestNode({ settings: { groups: { consumerHeartbeatIntervalMs: 100 } } });
  const ottla = new Ottla({ address: node.address });
  clients.push(ottla);
  await ottla.admin().createTopic({ name: "orders", partitions });
  const producer = ottla.producer({ lingerMs: 0 });
  const produce = (first: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, index) => {
        const value = String(first + index);
        return producer.send({ topic: "orders", partition: (first + index) % partitions, value });
      }),
    );
  return { node, ottla, produce };
}

/** Reads so many records and stops; what it read last is not acknowledged. */
async function readSome(consumer: GroupConsumer, count: number): Promise<string[]> {
  const values: string[] = [];
  for await (const record of consumer) {
    values.push(textOf(record));
    if (values.length === count) break;
  }
  return values;
}

/** A member that notes what it reads until it is closed. */
function collect(ottla: Ottla, group: string) {
  const values: number[] = [];
  const waiting: (() => void)[] = [];
  const changed = (): void => {
    for (const wake of waiting.splice(0)) wake();
  };
  const consumer = ottla.consumer({ group, topics: ["orders"], onAssigned: changed, onRevoked: changed });
  const running = consumer.run((record) => {
    values.push(Number(textOf(record)));
    changed();
  });
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const close = async (): Promise<void> => {
    await consumer.close();
    await running;
  };
  return { consumer, values, until, close };
}

describe("consuming in a group over gRPC", () => {
  test("a member reads everything once, and the next goes on where it stopped", async () => {
    const { ottla, produce } = await startGroups(1);
    await produce(0, 10);
    const first = ottla.consumer({ group: "g", topics: ["orders"] });
    expect(await readSome(first, 6)).toEqual(["0", "1", "2", "3", "4", "5"]);
    await first.close();
    const second = ottla.consumer({ group: "g", topics: ["orders"] });
    // The last one that was handed out was not known to be done with.
    expect(await readSome(second, 5)).toEqual(["5", "6", "7", "8", "9"]);
    await second.close();
  });

  test("members share partitions, hand over to who comes, and take over from who leaves", async () => {
    const { ottla, produce } = await startGroups();
    const first = collect(ottla, "g");
    await first.until(() => first.consumer.assignment().length === 4);
    await produce(0, 40);
    await first.until(() => first.values.length === 40);
    const second = collect(ottla, "g");
    await second.until(() => second.consumer.assignment().length === 2);
    await first.until(() => first.consumer.assignment().length === 2);
    await produce(40, 40);
    await first.until(() => first.values.length === 60);
    await second.until(() => second.values.length === 20);
    await first.close();
    await second.until(() => second.consumer.assignment().length === 4);
    await produce(80, 8);
    await second.until(() => second.values.length === 28);
    await second.close();
    const all = [...first.values, ...second.values].toSorted((left, right) => left - right);
    expect(all).toEqual(Array.from({ length: 88 }, (_, index) => index));
  });

  test("who leaves while it still joins leaves no member behind", async () => {
    const { ottla } = await startGroups(1);
    const consumers = Array.from({ length: 10 }, () => ottla.consumer({ group: "g", topics: ["orders"] }));
    await Promise.all(consumers.map((consumer) => consumer.close()));
    const last = collect(ottla, "g");
    await last.until(() => last.consumer.assignment().length === 1);
    expect((await ottla.groups().describe("g")).members).toHaveLength(1);
    await last.close();
  });

  test("unacknowledged bytes bound what comes, and acknowledging lets more come", async () => {
    const { ottla, produce } = await startGroups(1);
    await produce(0, 3);
    const consumer = ottla.consumer({
      group: "g",
      topics: ["orders"],
      acknowledge: "manual",
      maxUnacknowledgedBytes: 1,
    });
    const values: string[] = [];
    for await (const record of consumer) {
      values.push(textOf(record));
      consumer.acknowledge(record);
      if (values.length === 3) break;
    }
    expect(values).toEqual(["0", "1", "2"]);
    await consumer.close();
    const { offsets } = await ottla.groups().describe("g");
    expect(offsets).toMatchObject([{ topic: "orders", partition: 0, committedOffset: 3n, lag: 0n }]);
  });

  test("a handler that fails ends the run, and its record comes again", async () => {
    const { ottla, produce } = await startGroups(1);
    await produce(0, 3);
    const failing = ottla.consumer({ group: "g", topics: ["orders"] });
    const run = failing.run((record) => {
      if (textOf(record) === "1") throw new Error("cannot do 1");
    });
    await expect(run).rejects.toThrow("cannot do 1");
    await failing.close();
    const again = ottla.consumer({ group: "g", topics: ["orders"] });
    expect(await readSome(again, 2)).toEqual(["1", "2"]);
    await again.close();
  });

  test("groups are listed, described with members and lag, reset and deleted", async () => {
    const { ottla, produce } = await startGroups(2);
    await produce(0, 6);
    const member = collect(ottla, "g");
    await member.until(() => member.values.length === 6);
    const groups = ottla.groups();
    expect(await groups.list()).toMatchObject([{ group: "g", type: "consumer" }]);
    const { members } = await groups.describe("g");
    expect(members).toHaveLength(1);
    expect(members[0]?.partitions).toHaveLength(2);
    await expect(groups.delete("g")).rejects.toMatchObject({ code: "NON_EMPTY_GROUP" });
    const reset = [{ topic: "orders", partition: 0, nextOffset: 1n }];
    await expect(groups.commitOffsets("g", reset)).rejects.toMatchObject({ code: "UNKNOWN_MEMBER_ID" });
    await member.close();
    await groups.commitOffsets("g", reset);
    const { offsets, state } = await groups.describe("g");
    expect(state).toBe("Empty");
    expect(offsets.map(({ committedOffset, lag }) => [committedOffset, lag])).toEqual([
      [1n, 2n],
      [3n, 0n],
    ]);
    await groups.delete("g");
    await expect(groups.describe("g")).rejects.toMatchObject({ code: "GROUP_ID_NOT_FOUND" });
  });

  test("what makes no sense is refused by name", async () => {
    const { ottla } = await startGroups(1);
    const missing = ottla.consumer({ group: "g", topics: ["no-such-topic"] });
    await expect(readSome(missing, 1)).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
    const bad = ottla.consumer({ group: "g", topicPattern: "(" });
    await expect(readSome(bad, 1)).rejects.toMatchObject({ code: "INVALID_REGULAR_EXPRESSION" });
  });
});
