import type { EtcdStore } from "@ottla/metadata/etcd";
import { bytes, put, text, WatchRecorder } from "@ottla/metadata/testing";
import { systemClock } from "@ottla/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EtcdMember, EtcdServer, haveEtcd } from "../support/etcd-server.ts";
import { openEtcdStore } from "../support/etcd-store.ts";

const UNAVAILABLE = { code: "METADATA_UNAVAILABLE" };

interface Status {
  readonly leader: string;
  readonly header: { readonly member_id: string };
}

async function isLeader(member: EtcdMember): Promise<boolean> {
  const { leader, header } = (await member.control("maintenance/status", {})) as Status;
  return leader === header.member_id;
}

describe.runIf(haveEtcd())("EtcdStore at three members", () => {
  let server: EtcdServer;
  let store: EtcdStore;

  beforeEach(async () => {
    server = await EtcdServer.start({ memberCount: 3 });
    store = openEtcdStore(server.endpoints);
  });

  afterEach(async () => {
    await store.close();
    await server.stop();
  });

  async function membersLeaderFirst(): Promise<EtcdMember[]> {
    const leaders = await Promise.all(server.members.map(isLeader));
    const leader = server.members.filter((_, i) => leaders[i]);
    return [...leader, ...server.members.filter((_, i) => !leaders[i])];
  }

  /** The member that the store talks to. */
  async function memberInUse(): Promise<EtcdMember> {
    const description = await store.describe();
    const member = server.members.find(({ clientPort }) => description.endsWith(`:${clientPort}`));
    if (member === undefined) throw new Error(`no member fits ${description}`);
    return member;
  }

  /** Writes with compare-and-swap until it is proven done, as callers do. */
  async function writeOnce(key: string): Promise<void> {
    const write = { ...put(key), compare: [{ key, createRevision: 0 }] };
    await expect
      .poll(
        async () =>
          store.transact(write).then(
            () => true,
            () => false,
          ),
        { timeout: 15_000 },
      )
      .toBe(true);
    expect((await store.get(key))?.version).toBe(1);
  }

  it("goes on without its leader; without two members it says so, and recovers by itself", async () => {
    await store.transact(put("a", "1"));
    const lease = await store.lease({ ttlMs: 5000 });
    const success = [{ kind: "put" as const, key: "leased", value: bytes(""), leaseId: lease.id }];
    await store.transact({ compare: [], success });
    const [leader, second] = await membersLeaderFirst();
    await leader?.kill();
    await writeOnce("b");
    expect(text(await store.get("a"))).toBe("1");
    expect(lease.lost.aborted).toBe(false);

    const recorder = new WatchRecorder();
    store.watch("", (await store.range("")).revision + 1, recorder);
    await store.transact(put("c"));
    await recorder.until(() => recorder.changes.length > 0);
    await second?.kill();
    const startedAtMs = systemClock.monotonic();
    await expect(store.transact(put("d"), { timeoutMs: 1000 })).rejects.toMatchObject(UNAVAILABLE);
    await expect(store.get("a", { timeoutMs: 1000 })).rejects.toMatchObject(UNAVAILABLE);
    expect(systemClock.monotonic() - startedAtMs).toBeLessThan(4000);
    // The member that is left knows that it has lost the others: its watches do not just fall silent.
    await recorder.until(() => recorder.lost !== undefined);
    if (!lease.lost.aborted) await new Promise((resolve) => lease.lost.addEventListener("abort", resolve));

    await second?.launch();
    await writeOnce("e");
    expect(text(await store.get("a"))).toBe("1");
  });

  it("reads from another member when the one in use is frozen, and keeps its lease", async () => {
    await store.transact(put("a", "1"));
    const lease = await store.lease({ ttlMs: 6000 });
    const member = await memberInUse();
    member.freeze();
    expect(text(await store.get("a", { timeoutMs: 6000 }))).toBe("1");
    await writeOnce("b");
    expect((await memberInUse()).clientPort).not.toBe(member.clientPort);
    // Longer than the lease would have been kept without the other members.
    await systemClock.sleep(5000);
    expect(lease.lost.aborted).toBe(false);
    member.resume();
    await lease.revoke();
  });
});
