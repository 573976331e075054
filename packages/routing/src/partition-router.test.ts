import { OttlaError } from "@ottla/errors";
import type { AppendEntry } from "@ottla/proto/ottla/internal/v1/storage";
import { expect, test } from "vitest";
import { failureOf, refused, setUp } from "./test-router.ts";

test("appends of one turn of the event loop travel in one message, in order", async () => {
  const { append, one } = setUp();
  await append("warm-up");
  const outcomes = await Promise.all(["a", "b", "c"].map((text) => append(text)));
  expect(one.appended).toEqual(["warm-up", "a", "b", "c"]);
  expect(one.messages).toEqual([1, 3]);
  expect(outcomes.map(({ baseOffset }) => baseOffset)).toEqual([1, 2, 3]);
});

test("a refused append goes to the new leader, with those behind it in order", async () => {
  const { append, one, two, state, clock } = setUp();
  one.onAppend = () => refused("NOT_LEADER_OR_FOLLOWER");
  state.onRefresh = () => {
    state.placement = { leader: 2, leaderEpoch: 6 };
  };
  const outcomes = Promise.all([append("a"), append("b"), append("c")]);
  await clock.advance(100);
  expect((await outcomes).length).toBe(3);
  expect(two.appended).toEqual(["a", "b", "c"]);
});

test("an append that a later one has overtaken fails instead of changing places", async () => {
  const { append, one, clock } = setUp();
  let first = true;
  const store = one.onAppend;
  one.onAppend = (entry, text) => {
    if (!first) return store(entry, text);
    first = false;
    return refused("NOT_LEADER_OR_FOLLOWER");
  };
  const overtaken = failureOf(append("a"));
  await append("b");
  expect(await overtaken).toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER" });
  await clock.advance(2_000);
  expect(one.appended).toEqual(["b"]);
});

test("after a broken stream only idempotent appends are sent again", async () => {
  const { append, one, clock } = setUp();
  const store = one.onAppend;
  one.onAppend = () => "break";
  const plain = failureOf(append("plain"));
  const idempotent = append("idempotent", { idempotent: true });
  expect(await plain).toMatchObject({ code: "NETWORK_EXCEPTION" });
  one.onAppend = store;
  await clock.advance(500);
  expect((await idempotent).baseOffset).toBe(0);
  expect(one.appended).toEqual(["idempotent"]);
});

test("a gap that an earlier refusal tore is closed: both batches go again", async () => {
  const { append, one, clock } = setUp();
  const store = one.onAppend;
  let refusals = 2;
  one.onAppend = (entry, text) => {
    if (refusals === 0) return store(entry, text);
    refusals -= 1;
    return refusals === 1 ? refused("NOT_LEADER_OR_FOLLOWER") : refused("OUT_OF_ORDER_SEQUENCE_NUMBER", {});
  };
  const outcomes = Promise.all([append("a", { idempotent: true }), append("b", { idempotent: true })]);
  await clock.advance(500);
  expect((await outcomes).map(({ baseOffset }) => baseOffset)).toEqual([0, 1]);
});

test("an append that is never answered times out", async () => {
  const { append, one, clock } = setUp();
  one.onAppend = () => "silent";
  const outcome = failureOf(append("a", { timeoutMs: 1_000 }));
  await clock.advance(2_000);
  expect(await outcome).toMatchObject({ code: "REQUEST_TIMED_OUT" });
});

test("bytes beyond the credit wait, and beyond the waiting room are refused", async () => {
  const { append, one, router } = setUp({ maxWaitingBytesPerNode: 10 });
  one.creditBytes = 8n;
  const parked: { entry: AppendEntry; text: string }[] = [];
  one.onAppend = (entry, text) => {
    parked.push({ entry, text });
    return "silent";
  };
  const first = append("12345678").catch(() => undefined);
  await expect.poll(() => router.load().unansweredBytes).toBe(8);
  const second = append("abcdefgh").catch(() => undefined);
  await expect(append("abcdefgh")).rejects.toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
  await expect.poll(() => router.load().waitingBytes).toBe(8);
  expect(parked.map(({ text }) => text)).toEqual(["12345678"]);
  await router.close();
  await Promise.all([first, second]);
});

test("a partition that the refreshed view does not show fails at once", async () => {
  const { append, state, clock } = setUp();
  state.placement = undefined;
  const outcome = failureOf(append("a"));
  await clock.advance(50);
  expect(await outcome).toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
});

test("a fetch looks for the new leader when the old one refuses", async () => {
  const { router, one, two, state, clock } = setUp();
  one.onFetch = () => refused("FENCED_LEADER_EPOCH");
  two.onFetch = ({ leaderEpoch }) => ({ nextOffset: 9n, leaderEpoch });
  state.onRefresh = () => {
    state.placement = { leader: 2, leaderEpoch: 6 };
  };
  const fetch = { topicId: "t", partition: 0, offset: 0, maxBytes: 1, minBytes: 1, maxWaitMs: 100 };
  const outcome = router.fetch(fetch);
  await clock.advance(50);
  expect(await outcome).toMatchObject({ nextOffset: 9, leaderEpoch: 6 });
});

test("a fetch that is cancelled before it was sent never reaches the storage node", async () => {
  const { router, one, clock } = setUp();
  const offsets: bigint[] = [];
  one.onFetch = ({ offset }) => {
    offsets.push(offset);
    return { nextOffset: 7n };
  };
  const fetch = { topicId: "t", partition: 0, offset: 0, maxBytes: 1, minBytes: 1, maxWaitMs: 5_000 };
  const caller = new AbortController();
  const cancelled = failureOf(router.fetch({ ...fetch, offset: 1, signal: caller.signal }));
  const kept = router.fetch({ ...fetch, offset: 2 });
  caller.abort();
  await clock.advance(50);
  expect(await cancelled).toMatchObject({ code: "CANCELLED" });
  expect(await kept).toMatchObject({ nextOffset: 7 });
  expect(offsets).toEqual([2n]);
});

test("lookups of many partitions are answered in their order", async () => {
  const { router } = setUp();
  const queries = [3, 1, 2].map((partition) => ({ topicId: "t", partition, timestampMs: -1 }));
  const found = await router.listOffsets(queries);
  expect(found).toMatchObject([{ offset: 3 }, { offset: 1 }, { offset: 2 }]);
});

const FETCH = { topicId: "t", partition: 0, offset: 0, maxBytes: 1, minBytes: 1, maxWaitMs: 5_000 };

test("an unregistered node is looked for again, also for batches without a producer id", async () => {
  const { append, router, one, state, clock } = setUp();
  state.registered = false;
  const appended = append("a");
  const fetched = router.fetch(FETCH);
  const described = router.listOffsets([{ topicId: "t", partition: 0, timestampMs: -1 }]);
  await clock.advance(1_000);
  state.registered = true;
  await clock.advance(1_000);
  expect((await appended).baseOffset).toBe(0);
  expect(await fetched).toMatchObject({ nextOffset: 7 });
  expect(await described).toMatchObject([{ offset: 0 }]);
  expect(one.appended).toEqual(["a"]);
});

test("what is under way on a dropped node fails or goes again, over a new connection", async () => {
  const { append, router, one, state, clock } = setUp();
  const store = one.onAppend;
  one.onAppend = () => "silent";
  const plain = failureOf(append("plain"));
  const idempotent = append("idempotent", { idempotent: true });
  await expect.poll(() => router.load().unansweredBytes).toBeGreaterThan(0);
  one.onAppend = store;
  const before = state.connections;
  router.drop(1);
  router.drop(2);
  expect(await plain).toMatchObject({ code: "NETWORK_EXCEPTION" });
  await clock.advance(100);
  expect((await idempotent).baseOffset).toBe(0);
  expect(state.connections).toBe(before + 1);
});

test("a node whose connections keep failing is left alone for a moment, then tried again", async () => {
  const { router, one, clock } = setUp();
  one.creditBytes = 0n;
  let attempts = 0;
  let broken = true;
  one.onFetch = () => {
    attempts += 1;
    if (broken) throw new OttlaError("UNAVAILABLE", "the node broke");
    return { nextOffset: 7n };
  };
  const fetched = router.fetch(FETCH);
  await clock.advance(240);
  expect(attempts).toBe(3);
  expect(router.load().ejectedNodes).toBe(1);
  broken = false;
  await clock.advance(2_000);
  expect(await fetched).toMatchObject({ nextOffset: 7 });
  expect(attempts).toBe(4);
  expect(router.load().ejectedNodes).toBe(0);
});

test("a partition that was created a moment ago, through another gateway, is found", async () => {
  const { router, state } = setUp();
  const { placement } = state;
  state.placement = undefined;
  state.onRefresh = () => {
    state.placement = placement;
  };
  expect(await router.fetch(FETCH)).toMatchObject({ nextOffset: 7 });
  state.placement = undefined;
  const partition = { topicId: "t", partition: 0 };
  expect(await router.listOffsets([{ ...partition, timestampMs: -1 }])).toMatchObject([{ offset: 0 }]);
  state.placement = undefined;
  expect(await router.deleteRecords({ ...partition, beforeOffset: 3 })).toBe(3);
});
