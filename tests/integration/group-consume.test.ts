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

async function startGroups(partitions = 4, consumerHeartbeatIntervalMs = 100) {
  const node = await startTestNode({ settings: { groups: { consumerHeartbeatIntervalMs } } });
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

  test("members that change ask soon again, however seldom the group wants to hear of them", async () => {
    const { ottla } = await startGroups(4, 30_000);
    const first = collect(ottla, "g");
    await first.until(() => first.consumer.assignment().length === 4);
    const second = collect(ottla, "g");
    await second.until(() => second.consumer.assignment().length === 2);
    const places = [...first.consumer.assignment(), ...second.consumer.assignment()];
    expect(new Set(places.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2, 3]));
    await Promise.all([first.close(), second.close()]);
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

  test("a loop that is left early loses nothing: the next one begins where it was left", async () => {
    const { ottla, produce } = await startGroups(1);
    await produce(0, 6);
    const consumer = ottla.consumer({ group: "g", topics: ["orders"] });
    expect(await readSome(consumer, 3)).toEqual(["0", "1", "2"]);
    expect(await readSome(consumer, 2)).toEqual(["2", "3"]);
    for await (const batch of consumer.batches()) {
      expect([...batch].map(textOf)).toEqual(["3", "4", "5"]);
      break;
    }
    let failures = 0;
    const values: string[] = [];
    const work = (record: ConsumedRecord): void => {
      if (textOf(record) === "4" && failures++ === 0) throw new Error("cannot do 4");
      values.push(textOf(record));
      if (textOf(record) === "5") void consumer.close();
    };
    await expect(consumer.run(work)).rejects.toThrow("cannot do 4");
    await consumer.run(work);
    expect(values).toEqual(["3", "4", "5"]);
    expect((await ottla.groups().describe("g")).offsets).toMatchObject([{ committedOffset: 6n }]);
  });

  test("a paused consumer hands out nothing, not even the rest of what came together", async () => {
    const { ottla, produce } = await startGroups(1);
    await produce(0, 4);
    const consumer = ottla.consumer({ group: "g", topics: ["orders"] });
    const records = consumer[Symbol.asyncIterator]();
    expect((await records.next()).value).toMatchObject({ offset: 0n });
    consumer.pause();
    const second = records.next();
    const settled = await Promise.race([
      second.then(() => "handed out"),
      ottla
        .admin()
        .describeTopics(["orders"])
        .then(() => "held back"),
    ]);
    expect(settled).toBe("held back");
    consumer.resume();
    expect((await second).value).toMatchObject({ offset: 1n });
    await consumer.close();
    expect((await records.next()).done).toBe(true);
  });

  test("a consumer that is closed lets work in hand end, and stores that it is done", async () => {
    const { ottla, produce } = await startGroups(2);
    await produce(0, 8);
    const consumer = ottla.consumer({ group: "g", topics: ["orders"] });
    const bothBegun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let begun = 0;
    const run = consumer.run(async () => {
      begun += 1;
      if (begun === 2) bothBegun.resolve();
      await goOn.promise;
    });
    await bothBegun.promise;
    const closed = consumer.close();
    goOn.resolve();
    await closed;
    await run;
    expect(begun).toBe(2);
    const { offsets, members } = await ottla.groups().describe("g");
    expect(offsets.map(({ committedOffset }) => committedOffset)).toEqual([1n, 1n]);
    expect(members).toEqual([]);
  });

  test("a consumer may be closed by its own work", async () => {
    const { ottla, produce } = await startGroups(1);
    await produce(0, 3);
    const consumer = ottla.consumer({ group: "g", topics: ["orders"] });
    await consumer.run(async (record) => {
      if (record.offset === 1n) await consumer.close();
    });
    expect((await ottla.groups().describe("g")).offsets).toMatchObject([{ committedOffset: 2n }]);
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
