import { OttlaError } from "@ottla/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { KeyValue, MetadataStore, Revision, Transaction, WatchEvent } from "./metadata-store.ts";

/** A store prepared for one test. */
export interface StoreUnderTest {
  readonly store: MetadataStore;
  /** Another client of the same data; the same object where a store has only one. */
  readonly other: MetadataStore;
  compact(revision: Revision): Promise<void>;
  /** Ends all, `store` included. */
  close(): Promise<void>;
}

export interface ExpiringStoreUnderTest extends StoreUnderTest {
  /** Cuts `store` off, so that its keep-alives do not arrive. */
  cutOff(): void;
  /** Lets this much time pass. */
  advance(ms: number): Promise<void>;
}

const TTL_MS = 3000;

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(entry: KeyValue | undefined): string | undefined {
  return entry === undefined ? undefined : new TextDecoder().decode(entry.value);
}

export function put(key: string, value = key): Transaction {
  return { compare: [], success: [{ kind: "put", key, value: bytes(value) }] };
}

/** Gathers what a watch delivers and lets a test wait for it. */
export class WatchRecorder {
  readonly changes: { revision: Revision; events: readonly WatchEvent[] }[] = [];
  lost: Error | undefined;
  #wake: () => void = () => {};

  onEvents(events: readonly WatchEvent[], revision: Revision): void {
    this.changes.push({ revision, events });
    this.#wake();
  }

  onLost(reason: Error): void {
    this.lost = reason;
    this.#wake();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  summary(): string[] {
    return this.changes.map(({ events }) =>
      events.map((event) => (event.kind === "put" ? `+${event.entry.key}` : `-${event.key}`)).join(" "),
    );
  }
}

/** Registers the tests that every `MetadataStore` must pass. */
export function describeStoreContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} keeps the contract of MetadataStore`, () => {
    let subject: StoreUnderTest;
    let store: MetadataStore;

    beforeEach(async () => {
      subject = await open();
      store = subject.store;
    });

    afterEach(async () => {
      await subject.close();
    });

    describe("reads and revisions", () => {
      readTests(() => store);
    });
    describe("transactions", () => {
      transactionTests(() => store);
    });
    describe("watches", () => {
      watchTests(() => subject);
    });
    describe("leases", () => {
      leaseTests(() => subject);
    });

    it("refuses every call after it was closed, and may be closed twice", async () => {
      await store.close();
      await store.close();
      await expect(store.get("a")).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
      await expect(store.range("a")).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
      await expect(store.lease({ ttlMs: TTL_MS })).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
      const transact = async (): Promise<unknown> => await store.transact(put("a"));
      await expect(transact()).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
    });

    it("says what it is", async () => {
      expect(await store.describe()).not.toBe("");
    });
  });
}

function readTests(getStore: () => MetadataStore): void {
  it("answers undefined for a key that is not there", async () => {
    expect(await getStore().get("nothing")).toBeUndefined();
  });

  it("counts versions and keeps create and mod revisions, over changes and a new creation", async () => {
    const store = getStore();
    const created = await store.transact(put("k", "1"));
    const changed = await store.transact(put("k", "2"));
    expect(changed.revision).toBe(created.revision + 1);
    expect(await store.get("k")).toMatchObject({
      createRevision: created.revision,
      modRevision: changed.revision,
      version: 2,
      leaseId: undefined,
    });
    await store.transact({ compare: [], success: [{ kind: "delete", key: "k" }] });
    expect(await store.get("k")).toBeUndefined();
    const again = await store.transact(put("k", "3"));
    expect(again.revision).toBe(changed.revision + 2);
    expect(await store.get("k")).toMatchObject({ createRevision: again.revision, version: 1 });
  });

  it("keeps the revision when nothing changes", async () => {
    const store = getStore();
    const { revision } = await store.transact(put("k"));
    const deleted = await store.transact({
      compare: [],
      success: [
        { kind: "delete", key: "none" },
        { kind: "delete-prefix", prefix: "none/" },
      ],
    });
    expect(deleted.revision).toBe(revision);
    expect((await store.range("")).revision).toBe(revision);
  });

  it("takes values of any bytes, and keeps its own copy of them", async () => {
    const store = getStore();
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    await store.transact({ compare: [], success: [{ kind: "put", key: "k", value }] });
    await store.transact({ compare: [], success: [{ kind: "put", key: "empty", value: new Uint8Array(0) }] });
    value.fill(7);
    expect((await store.get("k"))?.value).toEqual(Uint8Array.from({ length: 256 }, (_, i) => i));
    expect((await store.get("empty"))?.value.byteLength).toBe(0);
  });

  it("orders keys by their UTF-8 bytes", async () => {
    const store = getStore();
    const sorted = ["p/", "p/A", "p/a", "p/a/b", "p/b", "p/é", "p/€", "p/\u{fffd}", "p/\u{1f600}"];
    for (const key of sorted.toReversed()) await store.transact(put(key));
    await store.transact(put("o"));
    await store.transact(put("q"));
    expect((await store.range("p/")).entries.map((entry) => entry.key)).toEqual(sorted);
  });

  it("pages through a range with limit and after", async () => {
    const store = getStore();
    for (const key of ["p/1", "p/2", "p/3", "q"]) await store.transact(put(key));
    const first = await store.range("p/", { limit: 2 });
    expect(first.entries.map((entry) => entry.key)).toEqual(["p/1", "p/2"]);
    expect(first.more).toBe(true);
    const second = await store.range("p/", { limit: 2, after: "p/2" });
    expect(second.entries.map((entry) => entry.key)).toEqual(["p/3"]);
    expect(second.more).toBe(false);
    expect((await store.range("p/", { after: "p/25" })).entries.map((entry) => entry.key)).toEqual(["p/3"]);
    expect((await store.range("p/", { after: "a" })).entries).toHaveLength(3);
    expect((await store.range("p/", { limit: 3 })).more).toBe(false);
  });

  it("refuses keys without an order", async () => {
    const store = getStore();
    for (const key of ["", "a\0b", "\ud800", "k".repeat(2000)]) {
      await expect((async () => await store.get(key))()).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
  });
}

function transactionTests(getStore: () => MetadataStore): void {
  it("runs success when all comparisons hold, else failure, and answers the reads of that branch", async () => {
    const store = getStore();
    const { revision } = await store.transact(put("a", "1"));
    const transaction: Transaction = {
      compare: [
        { key: "a", createRevision: revision },
        { key: "a", modRevision: revision },
        { key: "b", createRevision: 0 },
        { key: "b", modRevision: 0 },
      ],
      success: [{ kind: "put", key: "b", value: bytes("2") }],
      failure: [
        { kind: "get", key: "b" },
        { kind: "get", key: "c" },
      ],
    };
    expect(await store.transact(transaction)).toEqual({ succeeded: true, revision: revision + 1, reads: [] });
    const failed = await store.transact(transaction);
    expect(failed.succeeded).toBe(false);
    expect(failed.revision).toBe(revision + 1);
    expect(failed.reads.map(text)).toEqual(["2", undefined]);
  });

  it("lets only one of many creators of a key succeed", async () => {
    const store = getStore();
    const attempts = Array.from({ length: 20 }, (_, i) =>
      store.transact({
        compare: [{ key: "election", createRevision: 0 }],
        success: [{ kind: "put", key: "election", value: bytes(String(i)) }],
      }),
    );
    const results = await Promise.all(attempts);
    expect(results.filter((result) => result.succeeded)).toHaveLength(1);
  });

  it("shows operations of a transaction the ones before them, and gives all one revision", async () => {
    const store = getStore();
    await store.transact(put("p/1"));
    const result = await store.transact({
      compare: [],
      success: [
        { kind: "put", key: "a", value: bytes("new") },
        { kind: "get", key: "a" },
        { kind: "delete-prefix", prefix: "p/" },
        { kind: "get", key: "p/1" },
        { kind: "put", key: "b", value: bytes("b") },
      ],
    });
    expect(result.reads.map(text)).toEqual(["new", undefined]);
    expect((await store.get("a"))?.modRevision).toBe(result.revision);
    expect((await store.get("b"))?.modRevision).toBe(result.revision);
  });

  it("deletes all keys of a prefix and no others", async () => {
    const store = getStore();
    for (const key of ["p", "p/", "p/1", "p/\u{1f600}", "p0", "q"]) await store.transact(put(key));
    await store.transact({ compare: [], success: [{ kind: "delete-prefix", prefix: "p/" }] });
    expect((await store.range("")).entries.map((entry) => entry.key)).toEqual(["p", "p0", "q"]);
  });

  it("takes 128 operations and refuses more, with nothing applied", async () => {
    const store = getStore();
    const success = Array.from({ length: 129 }, (_, i) => ({
      kind: "put" as const,
      key: `k/${i}`,
      value: bytes("v"),
    }));
    const tooMany = async (): Promise<unknown> => await store.transact({ compare: [], success });
    await expect(tooMany()).rejects.toMatchObject({ code: "INVALID_REQUEST", metadata: { limit: "128" } });
    expect((await store.range("k/")).entries).toHaveLength(0);
    await store.transact({ compare: [], success: success.slice(1) });
    expect((await store.range("k/")).entries).toHaveLength(128);
  });

  it("refuses a transaction that changes a key twice", async () => {
    const store = getStore();
    const twice: Transaction[] = [
      { compare: [], success: [...put("a").success, ...put("a").success] },
      { compare: [], success: [...put("a").success, { kind: "delete", key: "a" }] },
      { compare: [], success: [...put("a/1").success, { kind: "delete-prefix", prefix: "a/" }] },
    ];
    for (const transaction of twice) {
      const transact = async (): Promise<unknown> => await store.transact(transaction);
      await expect(transact()).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
    expect((await store.range("")).entries).toHaveLength(0);
  });

  it("applies nothing of a transaction whose lease does not exist", async () => {
    const store = getStore();
    const lease = await store.lease({ ttlMs: TTL_MS });
    await lease.revoke();
    const transaction: Transaction = {
      compare: [],
      success: [
        { kind: "put", key: "a", value: bytes("a") },
        { kind: "put", key: "b", value: bytes("b"), leaseId: lease.id },
      ],
    };
    const transact = async (): Promise<unknown> => await store.transact(transaction);
    await expect(transact()).rejects.toMatchObject({ code: "METADATA_CONFLICT" });
    expect(await store.get("a")).toBeUndefined();
  });
}

function watchTests(getSubject: () => StoreUnderTest): void {
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

function leaseTests(getSubject: () => StoreUnderTest): void {
  it("deletes all keys of a lease in one revision when it is revoked", async () => {
    const { store, other } = getSubject();
    const lease = await store.lease({ ttlMs: TTL_MS });
    const { revision } = await store.transact({
      compare: [],
      success: [
        { kind: "put", key: "p/1", value: bytes("1"), leaseId: lease.id },
        { kind: "put", key: "p/2", value: bytes("2"), leaseId: lease.id },
        { kind: "put", key: "p/3", value: bytes("3") },
      ],
    });
    expect((await other.get("p/1"))?.leaseId).toBe(lease.id);
    const recorder = new WatchRecorder();
    const watch = other.watch("p/", revision + 1, recorder);
    expect(lease.lost.aborted).toBe(false);
    await lease.revoke();
    expect(lease.lost.aborted).toBe(true);
    await recorder.until(() => recorder.changes.length > 0);
    expect(recorder.summary()).toEqual(["-p/1 -p/2"]);
    expect((await other.range("p/")).entries.map((entry) => entry.key)).toEqual(["p/3"]);
    await lease.revoke();
    watch.close();
  });

  it("leaves a key that was written again without the lease, and takes one that changed its lease", async () => {
    const { store } = getSubject();
    const first = await store.lease({ ttlMs: TTL_MS });
    const second = await store.lease({ ttlMs: TTL_MS });
    expect(first.id).not.toBe(second.id);
    for (const key of ["detached", "moved"]) {
      await store.transact({
        compare: [],
        success: [{ kind: "put", key, value: bytes("1"), leaseId: first.id }],
      });
    }
    await store.transact(put("detached"));
    const moved = { kind: "put" as const, key: "moved", value: bytes("2"), leaseId: second.id };
    await store.transact({ compare: [], success: [moved] });
    await first.revoke();
    expect((await store.range("")).entries.map((entry) => entry.key)).toEqual(["detached", "moved"]);
    await second.revoke();
    expect((await store.range("")).entries.map((entry) => entry.key)).toEqual(["detached"]);
  });

  it("tells the holder when the store is closed", async () => {
    const { store } = getSubject();
    const lease = await store.lease({ ttlMs: TTL_MS });
    await store.close();
    expect(lease.lost.aborted).toBe(true);
  });
}

/** What is asked in addition of stores whose leases run out when their holder falls silent. */
export function describeLeaseExpiry(name: string, open: () => Promise<ExpiringStoreUnderTest>): void {
  describe(`${name} ends leases whose holder is silent`, () => {
    let subject: ExpiringStoreUnderTest;
    let lost: AbortSignal;

    beforeEach(async () => {
      subject = await open();
      const lease = await subject.store.lease({ ttlMs: TTL_MS });
      const success = [{ kind: "put" as const, key: "leased", value: bytes("1"), leaseId: lease.id }];
      await subject.store.transact({ compare: [], success });
      lost = lease.lost;
    });

    afterEach(async () => {
      await subject.close();
    });

    it("but keeps a lease alive for as long as its holder answers", async () => {
      await subject.advance(TTL_MS * 5);
      expect(lost.aborted).toBe(false);
      expect(await subject.other.get("leased")).toBeDefined();
    });

    it("after the holder has been told, never before", async () => {
      const stillThere: Promise<boolean>[] = [];
      lost.addEventListener("abort", () => {
        stillThere.push(subject.other.get("leased").then((entry) => entry !== undefined));
      });
      subject.cutOff();
      await subject.advance(TTL_MS * 2);
      expect(await Promise.all(stillThere)).toEqual([true]);
      expect(await subject.other.get("leased")).toBeUndefined();
    });
  });
}
