import type { EtcdStore } from "@ottla/metadata/etcd";
import { bytes, put, text, WatchRecorder } from "@ottla/metadata/testing";
import { createMetricsRegistry, type MetricsRegistry, systemClock } from "@ottla/runtime";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EtcdServer, haveEtcd } from "../support/etcd-server.ts";
import { openEtcdStore } from "../support/etcd-store.ts";
import { FaultProxy } from "../support/fault-proxy.ts";

const UNAVAILABLE = { code: "METADATA_UNAVAILABLE" };
const UNKNOWN_OUTCOME = { ...UNAVAILABLE, message: expect.stringContaining("may or may not") as unknown };

describe.runIf(haveEtcd())("EtcdStore", () => {
  let server: EtcdServer;
  let proxy: FaultProxy;
  let metrics: MetricsRegistry;
  /** Reaches etcd through the proxy. */
  let store: EtcdStore;
  /** Reaches etcd directly. */
  let witness: EtcdStore;

  beforeAll(async () => {
    server = await EtcdServer.start();
  });

  afterAll(async () => {
    await server.stop();
  });

  beforeEach(async () => {
    proxy = await FaultProxy.start(server.first.clientPort);
    metrics = createMetricsRegistry();
    store = openEtcdStore([proxy.endpoint], { metrics });
    witness = openEtcdStore(server.endpoints);
    await witness.transact({ compare: [], success: [{ kind: "delete-prefix", prefix: "" }] });
  });

  afterEach(async () => {
    await store.close();
    await witness.close();
    await proxy.stop();
  });

  async function watchFromNow(prefix: string): Promise<WatchRecorder> {
    const recorder = new WatchRecorder();
    store.watch(prefix, (await store.range(prefix)).revision + 1, recorder);
    return recorder;
  }

  async function holdLease(key: string, ttlMs: number): Promise<AbortSignal> {
    const lease = await store.lease({ ttlMs });
    const success = [{ kind: "put" as const, key, value: bytes(key), leaseId: lease.id }];
    await store.transact({ compare: [], success });
    return lease.lost;
  }

  it("loses its watches and keeps its leases when etcd is killed and comes back", async () => {
    const lost = await holdLease("leased", 4500);
    const before = await watchFromNow("");
    await store.transact(put("a"));
    await before.until(() => before.changes.length > 0);
    await server.first.kill();
    await before.until(() => before.lost !== undefined);
    expect(before.lost).toMatchObject(UNAVAILABLE);
    await expect(store.get("a", { timeoutMs: 300 })).rejects.toMatchObject(UNAVAILABLE);
    const refused = await store.transact(put("b"), { timeoutMs: 300 }).catch((thrown: unknown) => thrown);
    expect(refused).toMatchObject(UNAVAILABLE);
    // Nothing was sent, and the error does not leave the caller in doubt.
    expect(refused).not.toMatchObject(UNKNOWN_OUTCOME);
    await server.first.launch();
    const listed = await store.range("");
    expect(listed.entries.map((entry) => entry.key)).toEqual(["a", "leased"]);
    const after = await watchFromNow("");
    await store.transact(put("c"));
    await after.until(() => after.changes.length > 0);
    expect(after.summary()).toEqual(["+c"]);
    expect(await metrics.metrics()).toContain('ottla_metadata_lost_watches_total{reason="disconnected"} 1');
    // Longer than the lease would live without the keep-alives since.
    await systemClock.sleep(5000);
    expect(lost.aborted).toBe(false);
    expect(await witness.get("leased")).toBeDefined();
    expect(await metrics.metrics()).toMatch(/ottla_metadata_lease_keep_alive_age_seconds [01](\.\d+)?\n/);
  });

  it("takes a lease for lost in time while etcd is frozen, before etcd gives it away", async () => {
    const ttlMs = 3000;
    const lost = await holdLease("leased", ttlMs);
    const { revision } = await witness.range("");
    server.first.freeze();
    const frozenAtMs = systemClock.monotonic();
    await new Promise((resolve) => lost.addEventListener("abort", resolve));
    // The last keep-alive was sent before that moment, so etcd cannot have counted the whole time yet.
    expect(systemClock.monotonic() - frozenAtMs).toBeLessThan(ttlMs);
    await expect(store.get("leased", { timeoutMs: 200 })).rejects.toMatchObject(UNAVAILABLE);
    server.first.resume();
    const recorder = new WatchRecorder();
    const watch = witness.watch("", revision + 1, recorder);
    await recorder.until(() => recorder.changes.length > 0);
    expect(recorder.summary()).toEqual(["-leased"]);
    watch.close();
    expect(await store.get("leased")).toBeUndefined();
  });

  it("loses a watch whose history is compacted while it lags, and nothing else happens", async () => {
    const recorder = await watchFromNow("p/");
    await store.transact(put("p/first"));
    await recorder.until(() => recorder.changes.length === 1);
    const lease = await store.lease({ ttlMs: 10_000 });
    proxy.holdAnswers(true);
    const value = "x".repeat(2000);
    const count = 3000;
    const writes = Array.from({ length: count }, (_, i) => witness.transact(put(`p/${i}`, value)));
    const revisions = (await Promise.all(writes)).map((result) => result.revision);
    await server.first.control("kv/compaction", { revision: Math.max(...revisions), physical: true });
    proxy.holdAnswers(false);
    await recorder.until(() => recorder.lost !== undefined);
    expect(recorder.lost).toMatchObject({ code: "METADATA_CONFLICT" });
    expect(recorder.lost?.message).toContain("compacted");
    const seen = recorder.changes.map((change) => change.revision);
    // What it had seen until then is without a gap.
    expect(seen.slice(1)).toEqual(seen.slice(1).map((_, i) => (seen[1] ?? 0) + i));
    expect(seen.length).toBeLessThan(count);
    expect(await metrics.metrics()).toContain('ottla_metadata_lost_watches_total{reason="compacted"} 1');
    expect((await store.range("p/")).entries).toHaveLength(count + 1);
    expect(lease.lost.aborted).toBe(false);
    await lease.revoke();
  });

  describe("never repeats a transaction", () => {
    async function expectAppliedOnce(key: string): Promise<void> {
      // A read finds the way back to etcd; a transaction is not sent again for it.
      expect(await store.get(key)).toMatchObject({ version: 1 });
      const { revision } = await store.transact(put("later"));
      const entry = await store.get(key);
      expect(entry).toMatchObject({ version: 1, modRevision: revision - 1 });
    }

    it("whose answer was lost with the connection", async () => {
      await store.get("k");
      const recorder = new WatchRecorder();
      const watch = witness.watch("k", (await witness.range("")).revision + 1, recorder);
      proxy.faults.dropAnswers = true;
      const outcome = store.transact(put("k")).catch((thrown: unknown) => thrown);
      await recorder.until(() => recorder.changes.length > 0);
      proxy.faults.dropAnswers = false;
      proxy.cut();
      expect(await outcome).toMatchObject(UNKNOWN_OUTCOME);
      await expectAppliedOnce("k");
      watch.close();
    });

    it("whose answer does not come in time", async () => {
      await store.get("k");
      proxy.faults.dropAnswers = true;
      const startedAtMs = systemClock.monotonic();
      const outcome = store.transact(put("k"), { timeoutMs: 400 });
      await expect(outcome).rejects.toMatchObject(UNKNOWN_OUTCOME);
      expect(systemClock.monotonic() - startedAtMs).toBeLessThan(2000);
      proxy.faults.dropAnswers = false;
      proxy.cut();
      await expectAppliedOnce("k");
    });

    it("whose request was lost", async () => {
      const { revision } = await store.range("");
      proxy.faults.dropRequests = true;
      const outcome = store.transact(put("k")).catch((thrown: unknown) => thrown);
      await expect.poll(() => proxy.droppedBytes).toBeGreaterThan(0);
      proxy.faults.dropRequests = false;
      proxy.cut();
      expect(await outcome).toMatchObject(UNKNOWN_OUTCOME);
      expect(await store.get("k")).toBeUndefined();
      expect((await store.transact(put("later"))).revision).toBe(revision + 1);
    });
  });

  it("keeps a lease over a connection that falls silent, on a new one", async () => {
    const lost = await holdLease("leased", 3000);
    proxy.silence();
    await systemClock.sleep(3500);
    expect(lost.aborted).toBe(false);
    expect(await store.get("leased", { timeoutMs: 1000 })).toBeDefined();
  });

  it("repeats a read whose connection was cut", async () => {
    await store.transact(put("k", "1"));
    proxy.faults.dropAnswers = true;
    const outcome = store.get("k");
    await expect.poll(() => proxy.droppedBytes).toBeGreaterThan(0);
    proxy.faults.dropAnswers = false;
    proxy.cut();
    expect(text(await outcome)).toBe("1");
  });

  it("sees lists of many pages at one revision, whatever is written meanwhile", async () => {
    const count = 700;
    for (let from = 0; from < count; from += 100) {
      const success = Array.from({ length: 100 }, (_, i) => put(`p/${from + i}`).success).flat();
      await witness.transact({ compare: [], success });
    }
    const done = new AbortController();
    const write = async (): Promise<void> => {
      for (let i = 0; !done.signal.aborted; i = (i + 1) % count) {
        // Moves a key from one page to another and back.
        const success = [...put(`p/x${i}`).success, { kind: "delete" as const, key: `p/${i}` }];
        await witness.transact({ compare: [], success });
        const back = [...put(`p/${i}`).success, { kind: "delete" as const, key: `p/x${i}` }];
        await witness.transact({ compare: [], success: back });
      }
    };
    const writing = write();
    for (let i = 0; i < 20; i += 1) {
      const { entries, revision, more } = await store.range("p/");
      expect(entries).toHaveLength(count);
      expect(Math.max(...entries.map((entry) => entry.modRevision))).toBeLessThanOrEqual(revision);
      expect(more).toBe(false);
    }
    done.abort();
    await writing;
    const page = await store.range("p/", { limit: 600 });
    expect([page.entries.length, page.more]).toEqual([600, true]);
    const rest = await store.range("p/", { limit: 600, after: page.entries.at(-1)?.key ?? "" });
    expect([rest.entries.length, rest.more]).toEqual([100, false]);
    expect((await store.range("p/", { after: "q" })).entries).toEqual([]);
  });

  it("puts changes together again that etcd sends in fragments", async () => {
    const value = "x".repeat(7000);
    const revisions: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      const success = Array.from({ length: 128 }, (_, i) => put(`p/${i}`, value).success).flat();
      revisions.push((await witness.transact({ compare: [], success })).revision);
    }
    const recorder = new WatchRecorder();
    const watch = store.watch("p/", revisions[0] ?? 0, recorder);
    await recorder.until(() => recorder.changes.length >= 6 || recorder.lost !== undefined);
    expect(recorder.lost).toBeUndefined();
    expect(recorder.changes.map((change) => change.revision)).toEqual(revisions);
    expect(recorder.changes.map((change) => change.events.length)).toEqual(revisions.map(() => 128));
    watch.close();
  });

  it("loses a watch whose handler fails", async () => {
    let lost: Error | undefined;
    const { revision } = await store.range("");
    store.watch("", revision + 1, {
      onEvents: () => {
        throw new Error("the handler is broken");
      },
      onLost: (reason) => {
        lost = reason;
      },
    });
    await store.transact(put("a"));
    await expect.poll(() => lost?.message).toBe("the handler is broken");
  });

  it("ends everything when it is closed", async () => {
    const lost = await holdLease("leased", 10_000);
    const recorder = await watchFromNow("");
    proxy.faults.dropAnswers = true;
    const pending = [store.get("a"), store.transact(put("a")), store.lease({ ttlMs: 3000 })];
    const outcomes = Promise.all(pending.map((call) => call.catch((thrown: unknown) => thrown)));
    await expect.poll(() => proxy.droppedBytes).toBeGreaterThan(0);
    await store.close();
    const [read, write, grant] = await outcomes;
    expect(read).toMatchObject(UNAVAILABLE);
    expect(write).toMatchObject(UNKNOWN_OUTCOME);
    expect(grant).toMatchObject(UNAVAILABLE);
    expect(lost.aborted).toBe(true);
    expect(recorder.lost).toBeUndefined();
    await expect.poll(() => proxy.connectionCount).toBe(0);
  });
});
