import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  bytes,
  type ExpiringStoreUnderTest,
  put,
  type StoreUnderTest,
  WatchRecorder,
} from "./store-contract-tools.ts";

const TTL_MS = 3000;

/** The part of the contract about leases. */
export function leaseTests(getSubject: () => StoreUnderTest): void {
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

  it("leaves a key that was written again without the lease, or under another one", async () => {
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
