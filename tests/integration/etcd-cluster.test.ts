import type { EtcdStore } from "@ottla/metadata/etcd";
import { bytes, put, text, WatchRecorder } from "@ottla/metadata/testing";
import { systemClock } from "@ottla/runtime";
import { describe, expect, it } from "vitest";
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

interface Cluster {
  readonly server: EtcdServer;
  readonly store: EtcdStore;
}

async function withThreeMembers(test: (cluster: Cluster) => Promise<void>): Promise<void> {
  const server = await EtcdServer.start({ memberCount: 3 });
  const store = openEtcdStore(server.endpoints);
  try {
    await test({ server, store });
  } finally {
    await store.close();
    await server.stop();
  }
}

async function membersLeaderFirst({ server }: Cluster): Promise<EtcdMember[]> {
  const leaders = await Promise.all(server.members.map(isLeader));
  const leader = server.members.filter((_, i) => leaders[i]);
  return [...leader, ...server.members.filter((_, i) => !leaders[i])];
}

/** The member that the store talks to. */
async function memberInUse({ server, store }: Cluster): Promise<EtcdMember> {
  const description = await store.describe();
  const member = server.members.find(({ clientPort }) => description.endsWith(`:${clientPort}`));
  if (member === undefined) throw new Error(`no member fits ${description}`);
  return member;
}

/** Writes with compare-and-swap until it is proven done, as callers do. */
async function writeOnce({ store }: Cluster, key: string): Promise<void> {
  const write = { ...put(key), compare: [{ key, createRevision: 0 }] };
  const isAnswered = (): Promise<boolean> =>
    store.transact(write).then(
      () => true,
      () => false,
    );
  // Each attempt waits for etcd itself.
  for (let attempt = 0; attempt < 10 && !(await isAnswered()); attempt += 1);
  expect((await store.get(key))?.version).toBe(1);
}

// Side by side, each with a cluster of its own: most of their time is waiting for etcd.
describe.runIf(haveEtcd()).concurrent("EtcdStore at three members", () => {
  it("goes on without its leader; without two members it says so, and recovers by itself", async () => {
    await withThreeMembers(async (cluster) => {
      const { store } = cluster;
      await store.transact(put("a", "1"));
      const lease = await store.lease({ ttlMs: 6000 });
      const success = [{ kind: "put" as const, key: "leased", value: bytes(""), leaseId: lease.id }];
      await store.transact({ compare: [], success });
      const [leader, second] = await membersLeaderFirst(cluster);
      await leader?.kill();
      await writeOnce(cluster, "b");
      expect(text(await store.get("a"))).toBe("1");
      expect(lease.lost.aborted).toBe(false);

      const recorder = new WatchRecorder();
      store.watch("", (await store.range("")).revision + 1, recorder);
      await writeOnce(cluster, "c");
      await recorder.until(() => recorder.changes.length > 0);
      await second?.kill();
      const startedAtMs = systemClock.monotonic();
      await expect(store.transact(put("d"), { timeoutMs: 1000 })).rejects.toMatchObject(UNAVAILABLE);
      await expect(store.get("a", { timeoutMs: 1000 })).rejects.toMatchObject(UNAVAILABLE);
      expect(systemClock.monotonic() - startedAtMs).toBeLessThan(4000);
      // The member that is left knows that it has lost the others: its watches do not just fall silent.
      await recorder.until(() => recorder.lost !== undefined);
      if (!lease.lost.aborted) {
        await new Promise((resolve) => lease.lost.addEventListener("abort", resolve));
      }

      await second?.launch();
      await writeOnce(cluster, "e");
      expect(text(await store.get("a"))).toBe("1");
    });
  });

  it("reads from another member when the one in use is frozen, and keeps its lease", async () => {
    await withThreeMembers(async (cluster) => {
      const { store } = cluster;
      await store.transact(put("a", "1"));
      const lease = await store.lease({ ttlMs: 6000 });
      const member = await memberInUse(cluster);
      member.freeze();
      expect(text(await store.get("a", { timeoutMs: 6000 }))).toBe("1");
      await writeOnce(cluster, "b");
      expect((await memberInUse(cluster)).clientPort).not.toBe(member.clientPort);
      // Longer than the lease would have been kept without the other members.
      await systemClock.sleep(5000);
      expect(lease.lost.aborted).toBe(false);
      member.resume();
      await lease.revoke();
    });
  });
});
