import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "@ottla/runtime";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EmbeddedStore } from "./embedded-store.ts";
import type { KeyValue, Operation } from "./metadata-store.ts";
import { describeStoreContract } from "./store-contract.ts";
import { bytes, put, text, WatchRecorder } from "./store-contract-tools.ts";

const clock = systemClock;
let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ottla-metadata-"));
  path = join(directory, "metadata.db");
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

describeStoreContract("EmbeddedStore", async () => {
  const store = await EmbeddedStore.open({ path, clock });
  return {
    store,
    other: store,
    compact: async (revision) => store.compact(revision),
    close: () => store.close(),
  };
});

describe("EmbeddedStore on disk", () => {
  it("keeps keys, revisions and versions over a restart, and never repeats a revision", async () => {
    const first = await EmbeddedStore.open({ path, clock });
    await first.transact(put("a", "1"));
    const changed = await first.transact(put("a", "2"));
    const deleted = await first.transact({ compare: [], success: [{ kind: "delete", key: "none" }] });
    expect(deleted.revision).toBe(changed.revision);
    await first.transact(put("gone"));
    const last = await first.transact({ compare: [], success: [{ kind: "delete", key: "gone" }] });
    const before = await first.get("a");
    await first.close();
    const second = await EmbeddedStore.open({ path, clock });
    expect(await second.get("a")).toEqual(before);
    expect((await second.range("")).revision).toBe(last.revision);
    expect((await second.transact(put("b"))).revision).toBe(last.revision + 1);
    await second.close();
  });

  it("ends the leases of the former process in one revision when it opens", async () => {
    const first = await EmbeddedStore.open({ path, clock });
    const lease = await first.lease({ ttlMs: 3000 });
    for (const key of ["n/1", "n/2"]) {
      await first.transact({
        compare: [],
        success: [{ kind: "put", key, value: bytes(key), leaseId: lease.id }],
      });
    }
    const { revision } = await first.transact(put("n/3"));
    await first.close();
    const second = await EmbeddedStore.open({ path, clock });
    const listed = await second.range("n/");
    expect(listed.entries.map((entry) => entry.key)).toEqual(["n/3"]);
    expect(listed.revision).toBe(revision + 1);
    await second.close();
    const third = await EmbeddedStore.open({ path, clock });
    expect((await third.range("")).revision).toBe(revision + 1);
    await third.close();
  });

  it("has written what it answered, though the process never closes the file", async () => {
    const store = await EmbeddedStore.open({ path, clock });
    await store.transact(put("a", "1"));
    // A copy of the files at this moment is what a crash of the process leaves behind.
    const crashed = join(directory, "crashed.db");
    const { copyFileSync } = await import("node:fs");
    copyFileSync(path, crashed);
    copyFileSync(`${path}-wal`, `${crashed}-wal`);
    await store.close();
    const recovered = await EmbeddedStore.open({ path: crashed, clock });
    expect(text(await recovered.get("a"))).toBe("1");
    await recovered.close();
  });

  it("bounds its history: a watch from before it is lost", async () => {
    const store = await EmbeddedStore.open({ path, clock, maxHistoryRevisions: 5 });
    const { revision } = await store.transact(put("a"));
    for (let i = 0; i < 10; i += 1) await store.transact(put("b", String(i)));
    const recorder = new WatchRecorder();
    store.watch("", revision, recorder);
    await recorder.until(() => recorder.lost !== undefined);
    expect(recorder.changes).toHaveLength(0);
    await store.close();
  });

  it("refuses writes that find no room, with nothing applied, and goes on when there is some", async () => {
    const store = await EmbeddedStore.open({ path, clock, maxBytes: 256 * 1024 });
    const { revision } = await store.transact(put("a", "1"));
    const big = "x".repeat(300 * 1024);
    const recorder = new WatchRecorder();
    const watch = store.watch("", revision + 1, recorder);
    await expect(store.transact(put("a", big))).rejects.toMatchObject({
      code: "KAFKA_STORAGE_ERROR",
      message: expect.stringMatching(/^the disk is full/),
    });
    expect(text(await store.get("a"))).toBe("1");
    const next = await store.transact(put("a", "2"));
    expect(next.revision).toBe(revision + 1);
    await recorder.until(() => recorder.changes.length > 0);
    expect(recorder.summary()).toEqual(["+a"]);
    watch.close();
    await store.close();
    const again = await EmbeddedStore.open({ path, clock });
    expect(text(await again.get("a"))).toBe("2");
    await again.close();
  });
});

describe("EmbeddedStore after any history", () => {
  const key = fc.constantFrom("a", "a/1", "a/2", "b", "ü/\u{1f600}");
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    fc.record({ kind: fc.constant("put" as const), key, value: fc.uint8Array({ maxLength: 20 }) }),
    fc.record({ kind: fc.constant("delete" as const), key }),
    fc.record({ kind: fc.constant("delete-prefix" as const), prefix: fc.constantFrom("a/", "a", "") }),
  );
  const history = fc.array(fc.array(operation, { maxLength: 3 }), { maxLength: 15 });

  it("opens again with exactly what was there, and has told its watches the same", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(history, async (transactions) => {
        run += 1;
        const file = join(directory, `history-${run}.db`);
        const store = await EmbeddedStore.open({ path: file, clock });
        const recorder = new WatchRecorder();
        store.watch("", 2, recorder);
        // Some at once, so that several share a commit; those that change a key twice are refused.
        await Promise.allSettled(transactions.map((success) => store.transact({ compare: [], success })));
        const before = await store.range("");
        await store.close();
        const replayed = new Map<string, KeyValue>();
        for (const event of recorder.changes.flatMap((change) => change.events)) {
          if (event.kind === "put") replayed.set(event.entry.key, event.entry);
          else replayed.delete(event.key);
        }
        expect(before.entries).toEqual(before.entries.map((entry) => replayed.get(entry.key)));
        expect(replayed.size).toBe(before.entries.length);
        const again = await EmbeddedStore.open({ path: file, clock });
        expect(await again.range("")).toEqual(before);
        await again.close();
      }),
      { numRuns: 40 },
    );
  });
});

describe("EmbeddedStore refuses to open, naming the file,", () => {
  it("while another one holds it", async () => {
    const store = await EmbeddedStore.open({ path, clock });
    await expect(EmbeddedStore.open({ path, clock })).rejects.toMatchObject({
      code: "DATA_DIRECTORY_LOCKED",
      message: expect.stringContaining(path),
    });
    await store.close();
  });

  it("a file that is no database", async () => {
    writeFileSync(path, "this is not a database, however long it may be".repeat(100));
    await expect(EmbeddedStore.open({ path, clock })).rejects.toMatchObject({
      code: "INVALID_DATA_DIRECTORY",
      message: expect.stringContaining(path),
    });
  });

  it("a database of another program or of a newer version", async () => {
    const foreign = new DatabaseSync(path);
    foreign.exec("CREATE TABLE t (a)");
    foreign.close();
    await expect(EmbeddedStore.open({ path, clock })).rejects.toThrow("another program");
    const newerPath = join(directory, "newer.db");
    await (await EmbeddedStore.open({ path: newerPath, clock })).close();
    const newer = new DatabaseSync(newerPath);
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    await expect(EmbeddedStore.open({ path: newerPath, clock })).rejects.toThrow("format 99");
  });

  it("a database in which one byte of a value has changed", async () => {
    const store = await EmbeddedStore.open({ path, clock });
    await store.transact(put("key", "value"));
    await store.close();
    const database = new DatabaseSync(path);
    database.exec("UPDATE entries SET value = x'76616c7566' WHERE key = 'key'");
    database.close();
    await expect(EmbeddedStore.open({ path, clock })).rejects.toMatchObject({
      code: "INVALID_DATA_DIRECTORY",
      message: expect.stringMatching(/metadata\.db is damaged: the checksum of the key key is wrong/),
    });
  });

  it("a path whose directory is missing", async () => {
    const missing = join(directory, "none", "metadata.db");
    await expect(EmbeddedStore.open({ path: missing, clock })).rejects.toMatchObject({
      code: "INVALID_DATA_DIRECTORY",
      message: expect.stringContaining(missing),
    });
  });
});
