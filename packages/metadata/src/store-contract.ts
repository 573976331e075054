import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { MetadataStore, Transaction } from "./metadata-store.ts";
import { leaseTests } from "./store-contract-leases.ts";
import { bytes, put, type StoreUnderTest, text } from "./store-contract-tools.ts";
import { watchEndTests, watchTests } from "./store-contract-watches.ts";

const TTL_MS = 3000;

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
      rangeTests(() => store);
    });
    describe("transactions", () => {
      transactionTests(() => store);
      transactionLimitTests(() => store);
    });
    describe("watches", () => {
      watchTests(() => subject);
      watchEndTests(() => subject);
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
}

function rangeTests(getStore: () => MetadataStore): void {
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
  it("runs success when all comparisons hold, else failure, and answers that branch's reads", async () => {
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
}

function transactionLimitTests(getStore: () => MetadataStore): void {
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
