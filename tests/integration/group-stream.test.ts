import { type ConsumeResponse, GroupService } from "@ottla/proto/ottla/v1/group";
import { ReadFormat } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { appendTexts, startTestNode } from "./serve-support.ts";

/** `Consume` as a thin client of any language sees it, without what the SDK keeps right by itself. */
const transports: GrpcTransport[] = [];

afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.close()));
});

async function startStream(consumerSessionTimeoutMs = 45_000) {
  const groups = { consumerHeartbeatIntervalMs: 100, consumerSessionTimeoutMs };
  const node = await startTestNode({ settings: { groups } });
  await node.admin.createTopic({ name: "t", partitions: 1 });
  await appendTexts(node, "t", Array.from("0123456789"));
  const transport = new GrpcTransport({ address: node.address, clock: systemClock });
  transports.push(transport);
  const client = createClient(GroupService, transport);
  const open = async (memberId = "a", instanceId = "") => {
    const stream = client.consume({});
    const value = { group: "g", topics: ["t"], format: ReadFormat.RECORDS, memberId, instanceId };
    stream.send({ request: { case: "subscribe", value } });
    const events = stream.received[Symbol.asyncIterator]();
    const next = async (): Promise<ConsumeResponse["event"]> => (await events.next()).value?.event;
    const acknowledge = (nextOffset: bigint): void => {
      const offsets = [{ topic: "t", partition: 0, nextOffset }];
      stream.send({ request: { case: "acknowledge", value: { offsets } } });
    };
    expect((await next()).case).toBe("assigned");
    expect((await next()).case).toBe("records");
    return { stream, next, acknowledge };
  };
  return { client, node, open };
}

describe("the stream of Consume", () => {
  test("acknowledging less than before does not take the group back", async () => {
    const { client, open } = await startStream();
    const { stream, next, acknowledge } = await open();
    acknowledge(7n);
    expect(await next()).toMatchObject({ case: "committed", value: { offsets: [{ nextOffset: 7n }] } });
    acknowledge(3n);
    acknowledge(8n);
    expect(await next()).toMatchObject({ case: "committed", value: { offsets: [{ nextOffset: 8n }] } });
    acknowledge(2n);
    stream.end();
    expect(await next()).toBeUndefined();
    const { offsets } = await client.describeGroup({ group: "g" }, {});
    expect(offsets).toMatchObject([{ committedOffset: 8n }]);
  });

  test("what was never sent cannot be acknowledged", async () => {
    const { open } = await startStream();
    const { next, acknowledge } = await open();
    acknowledge(11n);
    await expect(next()).rejects.toMatchObject({
      code: "INVALID_REQUEST",
      metadata: { field: "acknowledge.next_offset", limit: "10" },
    });
  });

  test("a second subscription on the stream is refused", async () => {
    const { open } = await startStream();
    const { stream, next } = await open();
    stream.send({ request: { case: "subscribe", value: { group: "other", topics: ["t"] } } });
    await expect(next()).rejects.toMatchObject({ code: "INVALID_REQUEST", metadata: { field: "subscribe" } });
  });

  test("of two streams with one member id the newer takes over, and the older ends", async () => {
    const { client, open } = await startStream();
    const older = await open();
    const newer = await open();
    expect(await older.next()).toMatchObject({ case: "revoked", value: { lost: true } });
    await expect(older.next()).rejects.toMatchObject({ code: "FENCED_MEMBER_EPOCH" });
    newer.acknowledge(10n);
    expect(await newer.next()).toMatchObject({
      case: "committed",
      value: { offsets: [{ nextOffset: 10n }] },
    });
    expect((await client.describeGroup({ group: "g" }, {})).members).toHaveLength(1);
  });

  test("of two streams with one instance id the second ends after a session", async () => {
    const { open } = await startStream(1_000);
    const first = await open("a", "one");
    await expect(open("b", "one")).rejects.toMatchObject({ code: "UNRELEASED_INSTANCE_ID" });
    first.stream.end();
    expect(await first.next()).toBeUndefined();
    await open("b", "one");
  });

  test("a topic that does not exist holds up no other, and is taken when it is there", async () => {
    const { client, node } = await startStream();
    const subscribe = (topics: string[]) => {
      const stream = client.consume({});
      stream.send({ request: { case: "subscribe", value: { group: "g", topics } } });
      return stream.received[Symbol.asyncIterator]();
    };
    const events = subscribe(["gone", "t"]);
    const assigned = (topic: string) => ({
      value: { event: { case: "assigned", value: { partitions: [{ topic, partition: 0 }] } } },
    });
    expect(await events.next()).toMatchObject(assigned("t"));
    expect((await events.next()).value?.event.case).toBe("records");
    await node.admin.createTopic({ name: "gone", partitions: 1 });
    expect(await events.next()).toMatchObject(assigned("gone"));
    await expect(subscribe(["nowhere", "never"]).next()).rejects.toMatchObject({
      code: "UNKNOWN_TOPIC_OR_PARTITION",
      metadata: { topic: "nowhere" },
    });
  });

  test("a member that has acknowledged nothing is seen in metrics, and has a lag once it does", async () => {
    const { node, open } = await startStream();
    const ofGroup = async (): Promise<string[]> => {
      const page = await (await fetch(`${node.httpUrl}/metrics`)).text();
      const isOne = /^(?:kafka_consumergroup_lag|ottla_consumergroup_uncommitted_records)\{/;
      return page.split("\n").filter((line) => isOne.test(line));
    };
    const { next, acknowledge } = await open();
    const place = '{consumergroup="g",topic="t",partition="0"}';
    expect(await ofGroup()).toEqual([`ottla_consumergroup_uncommitted_records${place} 10`]);
    acknowledge(7n);
    expect((await next()).case).toBe("committed");
    expect(await ofGroup()).toEqual([`kafka_consumergroup_lag${place} 3`]);
  });

  test("releasing a partition that is not revoked changes nothing", async () => {
    const { open } = await startStream();
    const { stream, next, acknowledge } = await open();
    stream.send({ request: { case: "release", value: { partitions: [{ topic: "t", partition: 0 }] } } });
    acknowledge(10n);
    expect(await next()).toMatchObject({ case: "committed", value: { offsets: [{ nextOffset: 10n }] } });
  });
});
