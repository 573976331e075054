import { expect, test } from "vitest";
import { failureOf, producerBatch, refused, setUp } from "./test-router.ts";

const FETCH = { topicId: "t", partition: 0, offset: 0, maxBytes: 1, minBytes: 1, maxWaitMs: 5_000 };

test("what waits for a leader goes out in the moment that the view names one", async () => {
  const { append, elect, state, clock, two } = setUp();
  state.placement = { leader: -1, leaderEpoch: 5 };
  const outcomes = Promise.all([append("a"), append("b", { idempotent: true })]);
  await clock.advance(1_000);
  elect(2, 6);
  await clock.advance(1);
  expect((await outcomes).map(({ baseOffset }) => baseOffset)).toEqual([0, 1]);
  expect(two.appended).toEqual(["a", "b"]);
});

test("a read that waits for a leader goes out in the moment that the view names one", async () => {
  const { router, elect, state, clock } = setUp();
  state.placement = { leader: -1, leaderEpoch: 5 };
  const fetched = router.fetch(FETCH);
  await clock.advance(1_000);
  elect(2, 6);
  await clock.advance(1);
  expect(await fetched).toMatchObject({ nextOffset: 7 });
});

test("what a hanging leader swallowed goes to its successor, where that would recognise it", async () => {
  const { append, elect, one, two, clock } = setUp();
  one.onAppend = () => "silent";
  const first = append("first", { idempotent: true });
  const plain = failureOf(append("plain"));
  const second = append("second", { idempotent: true });
  await clock.advance(1_000);
  elect(2, 6);
  const late = append("late", { idempotent: true });
  await clock.advance(200);
  expect(await plain).toMatchObject({ code: "NETWORK_EXCEPTION" });
  await Promise.all([first, second, late]);
  expect(two.appended).toEqual(["first", "second", "late"]);
});

test("a batch that never left goes to the successor even without a producer id", async () => {
  const { append, elect, one, two, clock } = setUp();
  one.creditBytes = 1n;
  one.onAppend = () => "silent";
  const sent = append("sent", { idempotent: true });
  const unsent = append("unsent");
  await clock.advance(10);
  elect(2, 6);
  await clock.advance(200);
  await Promise.all([sent, unsent]);
  expect(two.appended).toEqual(["sent", "unsent"]);
});

test("a new leader meets no batch before those that the old one has still to answer", async () => {
  const { append, elect, one, two, clock } = setUp();
  one.onAppend = () => "silent";
  const first = append("first", { idempotent: true });
  await clock.advance(1);
  elect(2, 6);
  const second = append("second", { idempotent: true });
  await clock.advance(20);
  expect(two.appended).toEqual([]);
  await clock.advance(200);
  await Promise.all([first, second]);
  expect(two.appended).toEqual(["first", "second"]);
});

test("a fetch that its leader has swallowed is asked again when it is long past its time", async () => {
  const { router, one, clock } = setUp();
  let asked = 0;
  // The answer of another fetch than any that was asked.
  one.onFetch = () => ({ nextOffset: 9n, ...((asked += 1) === 1 ? { correlationId: 0n } : {}) });
  const fetch = { topicId: "t", partition: 0, offset: 9, maxBytes: 1, minBytes: 1, maxWaitMs: 1_000 };
  const outcome = router.fetch({ ...fetch, retryMs: 20_000 });
  await clock.advance(4_000);
  expect(asked).toBe(1);
  await clock.advance(12_000);
  expect(await outcome).toMatchObject({ nextOffset: 9 });
  expect(asked).toBe(2);
});

test("a fetch that waits at a hanging leader is asked of its successor", async () => {
  const { router, elect, one, two, clock } = setUp();
  one.onFetch = () => ({ correlationId: 0n });
  two.onFetch = () => ({ nextOffset: 9n });
  const fetched = router.fetch(FETCH);
  await clock.advance(500);
  elect(2, 6);
  await clock.advance(200);
  expect(await fetched).toMatchObject({ nextOffset: 9 });
});

test("too few replicas are waited for a while, and then are what the client hears", async () => {
  const { append, one, clock } = setUp();
  const store = one.onAppend;
  one.onAppend = () => refused("NOT_ENOUGH_REPLICAS");
  const soon = append("soon");
  await clock.advance(1_000);
  one.onAppend = store;
  await clock.advance(1_000);
  expect((await soon).baseOffset).toBe(0);
  one.onAppend = () => refused("NOT_ENOUGH_REPLICAS");
  const never = failureOf(append("never", { timeoutMs: 30_000 }));
  await clock.advance(7_000);
  expect(await never).toMatchObject({ code: "NOT_ENOUGH_REPLICAS", metadata: { not_appended: "true" } });
});

test("behind a batch that failed none of its producer goes on, but a client's next copies do", async () => {
  const { append, one, clock } = setUp();
  const store = one.onAppend;
  one.onAppend = () => refused("NOT_ENOUGH_REPLICAS");
  const send = (text: string, sequence: number, producerId = 1n) =>
    append("", {
      idempotent: true,
      timeoutMs: 30_000,
      batch: producerBatch(text, sequence, producerId),
    });
  const first = failureOf(send("first", 0));
  await clock.advance(3_000);
  const second = failureOf(send("second", 1));
  const others = send("others", 7, 2n);
  const copies = [send("first", 0), send("second", 1)];
  await clock.advance(3_000);
  one.onAppend = (entry, text) => store(entry, text.slice(text.lastIndexOf("\0") + 1));
  await clock.advance(1_000);
  expect(await first).toMatchObject({ code: "NOT_ENOUGH_REPLICAS", metadata: { not_appended: "true" } });
  expect(await second).toMatchObject({ code: "NOT_ENOUGH_REPLICAS", metadata: { not_appended: "true" } });
  await Promise.all([others, ...copies]);
  expect(one.appended).toEqual(["others", "first", "second"]);
});

test("what is under way behind a batch that failed is not sent again either", async () => {
  const { append, elect, one, two, clock } = setUp();
  one.onAppend = () => "silent";
  const send = (text: string, sequence: number, timeoutMs: number) =>
    failureOf(append("", { idempotent: true, timeoutMs, batch: producerBatch(text, sequence) }));
  const first = send("first", 0, 1_000);
  const second = send("second", 1, 30_000);
  await clock.advance(1_700);
  expect(await first).toMatchObject({ code: "REQUEST_TIMED_OUT" });
  elect(2, 6);
  await clock.advance(200);
  const error = await second;
  expect(error).toMatchObject({ code: "NETWORK_EXCEPTION" });
  expect(error).not.toMatchObject({ metadata: { not_appended: "true" } });
  expect(two.appended).toEqual([]);
});

test("a full disk is worth waiting for only where another replica may take over", async () => {
  const { append, elect, state, one, clock } = setUp();
  one.onAppend = () => refused("KAFKA_STORAGE_ERROR");
  expect(await failureOf(append("alone"))).toMatchObject({ code: "KAFKA_STORAGE_ERROR" });
  state.replicas = [1, 2];
  const moved = append("moved");
  await clock.advance(1_000);
  elect(2, 6);
  await clock.advance(10);
  expect((await moved).baseOffset).toBe(0);
});

test("nobody vouches that a batch was not stored after a try whose outcome is unknown", async () => {
  const { append, one, clock } = setUp();
  one.onAppend = () => "break";
  const outcome = failureOf(append("a", { idempotent: true, timeoutMs: 2_000 }));
  await clock.advance(50);
  one.onAppend = () => refused("NOT_LEADER_OR_FOLLOWER");
  await clock.advance(3_000);
  expect(await outcome).toMatchObject({ code: "NOT_LEADER_OR_FOLLOWER", metadata: {} });
});

test("a batch that no leader takes fails with its deadline, not after it", async () => {
  const { append, state, clock } = setUp();
  state.placement = { leader: -1, leaderEpoch: 5 };
  const outcome = failureOf(append("a", { timeoutMs: 1_000 }));
  await clock.advance(1_020);
  expect(await outcome).toMatchObject({ code: "LEADER_NOT_AVAILABLE", metadata: { not_appended: "true" } });
});

test("a node that says nothing past the deadline of an append gets a new connection", async () => {
  const { append, one, state, clock } = setUp();
  const store = one.onAppend;
  one.onAppend = () => "silent";
  const short = failureOf(append("short", { timeoutMs: 2_000 }));
  const long = append("long", { idempotent: true, timeoutMs: 60_000 });
  await clock.advance(1);
  one.onAppend = store;
  const before = state.connections;
  await clock.advance(3_000);
  expect(await short).toMatchObject({ code: "REQUEST_TIMED_OUT" });
  expect((await long).baseOffset).toBe(0);
  expect(state.connections).toBe(before);
  expect(one.streams).toBe(2);
});

test("a replica in the zone is read from, and the leader where that has nothing", async () => {
  const { router, state, one, two, clock } = setUp({ readZone: "b" });
  state.replicas = [1, 2];
  state.zones = new Map([
    [1, "a"],
    [2, "b"],
  ]);
  one.onFetch = ({ fromFollower }) => ({ nextOffset: fromFollower ? 0n : 3n });
  const fetch = { ...FETCH, maxWaitMs: 0 };
  two.onFetch = ({ fromFollower }) => ({ nextOffset: fromFollower ? 0n : 99n });
  expect(await router.fetch(fetch)).toMatchObject({ nextOffset: 3 });
  two.onFetch = () => refused("NOT_LEADER_OR_FOLLOWER");
  expect(await router.fetch(fetch)).toMatchObject({ nextOffset: 3 });
  two.onFetch = () => ({ nextOffset: 2n, chunkCount: 1, batches: [new Uint8Array(5)] });
  expect(await router.fetch(fetch)).toMatchObject({ nextOffset: 2, sizeBytes: 5 });
  state.zones = new Map([[2, "elsewhere"]]);
  expect(await router.fetch(fetch)).toMatchObject({ nextOffset: 3 });
  await clock.advance(10);
});
