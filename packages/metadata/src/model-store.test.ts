import { VirtualClock } from "@ottla/runtime";
import { describe, expect, it } from "vitest";
import { ModelStore } from "./model-store.ts";
import { describeStoreContract } from "./store-contract.ts";
import { describeLeaseExpiry } from "./store-contract-leases.ts";
import { type ExpiringStoreUnderTest, put, text, WatchRecorder } from "./store-contract-tools.ts";

async function openModel(): Promise<ExpiringStoreUnderTest> {
  const clock = new VirtualClock();
  const store = new ModelStore({ clock });
  const other = new ModelStore({ clock, server: store.server });
  return {
    store,
    other,
    compact: async (revision) => store.server.compact(revision),
    cutOff: () => {
      store.faults.unavailable = true;
    },
    advance: (ms) => clock.advance(ms),
    close: async () => {
      await store.close();
      await other.close();
    },
  };
}

describeStoreContract("ModelStore", openModel);
describeLeaseExpiry("ModelStore", openModel);

describe("ModelStore's faults", () => {
  it("fails calls of a client that is cut off when their time is up", async () => {
    const clock = new VirtualClock();
    const store = new ModelStore({ clock });
    store.faults.unavailable = true;
    const outcome = store.get("k", { timeoutMs: 700 }).catch((thrown: unknown) => thrown);
    await clock.advance(700);
    expect(await outcome).toMatchObject({ code: "METADATA_UNAVAILABLE" });
    expect(clock.monotonic()).toBe(700);
  });

  it("loses a transaction before or after it was applied, alike for the caller", async () => {
    const store = new ModelStore({ clock: new VirtualClock() });
    store.faults.nextTransaction = "request-lost";
    await expect(store.transact(put("k", "1"))).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
    expect(await store.get("k")).toBeUndefined();
    store.faults.nextTransaction = "answer-lost";
    await expect(store.transact(put("k", "2"))).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
    expect(text(await store.get("k"))).toBe("2");
  });

  it("delays watch events in order, and breaks watches", async () => {
    const clock = new VirtualClock();
    const store = new ModelStore({ clock });
    store.faults.watchDelayMs = 100;
    const recorder = new WatchRecorder();
    store.watch("", 2, recorder);
    await store.transact(put("a"));
    await clock.advance(50);
    await store.transact(put("b"));
    expect(recorder.changes).toHaveLength(0);
    await clock.advance(200);
    expect(recorder.summary()).toEqual(["+a", "+b"]);
    store.loseWatches();
    await store.transact(put("c"));
    await clock.advance(200);
    expect(recorder.summary()).toEqual(["+a", "+b"]);
    expect(recorder.lost).toBeDefined();
  });

  it("ends a lease that is revoked too early, and its holder finds out at the next keep-alive", async () => {
    const clock = new VirtualClock();
    const store = new ModelStore({ clock });
    const lease = await store.lease({ ttlMs: 3000 });
    store.server.endLease(lease.id);
    await clock.advance(1100);
    expect(lease.lost.aborted).toBe(true);
  });
});
