import { OttlaError } from "@ottla/errors";
import { expect, it } from "vitest";
import { bytes, put, type StoreUnderTest, WatchRecorder } from "./store-contract-tools.ts";

/** The part of the contract about watches. */
export function watchTests(getSubject: () => StoreUnderTest): void {
  it("delivers changes from a past revision on, then new ones, one call for each revision", async () => {
    const { store, other } = getSubject();
    await store.transact(put("p/before"));
    const { revision } = await store.transact(put("p/1"));
    await store.transact(put("other"));
    const recorder = new WatchRecorder();
    const watch = store.watch("p/", revision, recorder);
    await other.transact({
      compare: [],
      success: [
        { kind: "put", key: "p/2", value: bytes("2") },
        { kind: "delete", key: "p/1" },
        { kind: "put", key: "unwatched", value: bytes("") },
      ],
    });
    await recorder.until(() => recorder.changes.length >= 2);
    expect(recorder.summary()).toEqual(["+p/1", "+p/2 -p/1"]);
    expect(recorder.changes.map((change) => change.revision)).toEqual([revision, revision + 2]);
    const event = recorder.changes[1]?.events[0];
    expect(event?.kind === "put" ? event.entry : undefined).toMatchObject({
      modRevision: revision + 2,
      version: 1,
    });
    watch.close();
  });

  it("waits for a revision of the future", async () => {
    const { store } = getSubject();
    const { revision } = await store.transact(put("p/1"));
    const recorder = new WatchRecorder();
    const watch = store.watch("p/", revision + 2, recorder);
    await store.transact(put("p/2"));
    await store.transact(put("p/3"));
    await recorder.until(() => recorder.changes.length > 0);
    expect(recorder.summary()).toEqual(["+p/3"]);
    watch.close();
  });

  it("misses nothing between a list and the watch after it", async () => {
    const { store } = getSubject();
    const writes = Array.from({ length: 50 }, async (_, i) => await store.transact(put(`p/${i}`)));
    const listed = await store.range("p/");
    const recorder = new WatchRecorder();
    const watch = store.watch("p/", listed.revision + 1, recorder);
    await Promise.all(writes);
    await recorder.until(() => recorder.changes.length + listed.entries.length >= 50);
    const keys = new Set(listed.entries.map((entry) => `+${entry.key}`));
    for (const line of recorder.summary()) keys.add(line);
    expect(keys.size).toBe(50);
    watch.close();
  });
}

/** The part of the contract about watches that end. */
export function watchEndTests(getSubject: () => StoreUnderTest): void {
  it("delivers nothing any more once it is closed", async () => {
    const { store } = getSubject();
    const closed = new WatchRecorder();
    const witness = new WatchRecorder();
    const { revision } = await store.range("");
    store.watch("p/", revision + 1, closed).close();
    const watch = store.watch("p/", revision + 1, witness);
    await store.transact(put("p/1"));
    await witness.until(() => witness.changes.length > 0);
    expect(closed.changes).toHaveLength(0);
    expect(closed.lost).toBeUndefined();
    watch.close();
  });

  it("is lost when it starts before the compacted revision", async () => {
    const subject = getSubject();
    const { store } = subject;
    const first = await store.transact(put("p/1"));
    const second = await store.transact(put("p/2"));
    await subject.compact(second.revision);
    const recorder = new WatchRecorder();
    store.watch("p/", first.revision, recorder);
    await recorder.until(() => recorder.lost !== undefined);
    expect(recorder.changes).toHaveLength(0);
    expect(recorder.lost).toBeInstanceOf(OttlaError);
    const afterwards = new WatchRecorder();
    const watch = store.watch("p/", second.revision + 1, afterwards);
    await store.transact(put("p/3"));
    await afterwards.until(() => afterwards.changes.length > 0);
    expect(afterwards.lost).toBeUndefined();
    watch.close();
  });
}
