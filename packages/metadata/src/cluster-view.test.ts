import { nullLogger, VirtualClock } from "@ottla/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ClusterChange } from "./cluster-state.ts";
import { ClusterView } from "./cluster-view.ts";
import { MetadataKeys } from "./keys.ts";
import type { Operation } from "./metadata-store.ts";
import { ModelServer } from "./model-server.ts";
import { ModelStore } from "./model-store.ts";
import { bytes } from "./store-contract-tools.ts";
import {
  controllerStateCodec,
  nodeRegistrationCodec,
  type PartitionState,
  partitionStateCodec,
  storageNodeStateCodec,
  type TopicPhase,
  topicStateCodec,
} from "./values.ts";

const cluster = "c";
const keys = new MetadataKeys(cluster);
const logger = nullLogger;
let clock: VirtualClock;
/** The view's own client, and that of those who write. */
let store: ModelStore;
let writer: ModelStore;
let view: ClusterView;
let changes: ClusterChange[];

async function open(): Promise<ClusterView> {
  const opened = await ClusterView.open({ store, cluster, clock, logger });
  opened.onChange((change) => changes.push(change));
  return opened;
}

beforeEach(async () => {
  clock = new VirtualClock();
  const server = new ModelServer({ clock });
  store = new ModelStore({ clock, server });
  writer = new ModelStore({ clock, server });
  changes = [];
  view = await open();
});

afterEach(async () => {
  view.close();
  await store.close();
  await writer.close();
});

async function write(...success: Operation[]): Promise<number> {
  return (await writer.transact({ compare: [], success })).revision;
}

function topicPut(topicId: string, name: string, phase: TopicPhase = "live"): Operation {
  const value = topicStateCodec.encode({
    name,
    partitionCount: 1,
    replicationFactor: 1,
    configs: {},
    phase,
    internal: false,
    createdAtMs: 0,
    deletedAtMs: -1,
  });
  return { kind: "put", key: keys.topic(topicId), value };
}

function partitionPut(topicId: string, partition: number, change: Partial<PartitionState> = {}): Operation {
  const value = partitionStateCodec.encode({
    leader: 1,
    leaderNodeEpoch: 5,
    leaderEpoch: 0,
    partitionEpoch: 0,
    replicas: [1],
    isr: [1],
    eligibleReplicas: [],
    lastKnownLeader: -1,
    minInsyncReplicas: 1,
    ...change,
  });
  return { kind: "put", key: keys.partition(topicId, partition), value };
}

function nodePut(nodeId: number): Operation {
  const value = nodeRegistrationCodec.encode({
    role: "gateway",
    nodeId,
    addresses: ["host:1"],
    zone: "",
    version: "0",
    incarnation: "i",
    directoryId: "",
    cleanShutdownNodeEpoch: -1,
  });
  return { kind: "put", key: keys.node("gateway", nodeId), value };
}

function del(key: string): Operation {
  return { kind: "delete", key };
}

describe("ClusterView", () => {
  it("shows what the watch brings, and tells listeners what changed, once for each revision", async () => {
    const revision = await write(
      topicPut("id", "t"),
      partitionPut("id", 0),
      partitionPut("id", 1),
      nodePut(9),
    );
    await view.waitForRevision(revision);
    expect(view.topicByName("t")).toMatchObject({ topicId: "id", modRevision: revision });
    expect(view.partition("id", 1)).toMatchObject({
      topicId: "id",
      partition: 1,
      leader: 1,
      modRevision: revision,
    });
    expect(view.nodes("gateway")).toMatchObject([{ nodeId: 9, nodeEpoch: revision }]);
    expect(changes).toHaveLength(1);
    expect(changes[0]).toMatchObject({
      revision,
      nodes: [{ role: "gateway", nodeId: 9 }],
      groupPartitions: [],
      controllerChanged: false,
    });
    expect(changes[0]?.partitions).toHaveLength(2);
    expect(changes[0]?.topicIds).toEqual(new Set(["id"]));
  });

  it("shows controller, storage nodes, cluster id and feature level, until they go", async () => {
    const controller = controllerStateCodec.encode({ nodeId: 1, address: "a:1", incarnation: "i" });
    const storage = storageNodeStateCodec.encode({ directoryId: "d", lastNodeEpoch: 3, drain: "none" });
    const revision = await write(
      { kind: "put", key: keys.controller, value: controller },
      { kind: "put", key: keys.storageNode(4), value: storage },
      { kind: "put", key: keys.clusterId, value: bytes('{"clusterId":"x"}') },
      { kind: "put", key: keys.featureLevel, value: bytes('{"level":1}') },
    );
    await view.waitForRevision(revision);
    expect(view.controller).toMatchObject({ nodeId: 1, term: revision });
    expect(view.storageNode(4)).toMatchObject({ nodeId: 4, directoryId: "d" });
    expect([view.clusterId, view.featureLevel]).toEqual(["x", 1]);
    await view.waitForRevision(
      await write(del(keys.controller), del(keys.storageNode(4)), del(keys.featureLevel)),
    );
    expect([view.controller, view.storageNode(4), view.featureLevel]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(changes.at(-1)).toMatchObject({ controllerChanged: true, storageNodeIds: [4] });
  });

  it("hides nodes that cannot work at the cluster's feature level, and tells when they go", async () => {
    const level = (value: string): Operation => ({
      kind: "put",
      key: keys.featureLevel,
      value: bytes(value),
    });
    await view.waitForRevision(await write(level('{"level":1}'), nodePut(1)));
    expect(view.nodes("gateway")).toHaveLength(1);
    const raised = await write(level('{"level":2}'));
    await view.waitForRevision(raised);
    expect(changes.at(-1)).toMatchObject({
      featureLevelChanged: true,
      nodes: [{ role: "gateway", nodeId: 1 }],
    });
    expect([view.node("gateway", 1), view.nodes("gateway")]).toEqual([undefined, []]);
    expect(view.refusedNodes()).toMatchObject([{ role: "gateway", nodeId: 1 }]);
    expect(view.featureLevelRevision).toBe(raised);
  });

  it("knows by name only live topics, and a name's new topic after the old one was deleted", async () => {
    await view.waitForRevision(await write(topicPut("old", "t", "creating")));
    expect(view.topicByName("t")).toBeUndefined();
    expect(view.topicById("old")?.phase).toBe("creating");
    await view.waitForRevision(await write(topicPut("old", "t")));
    expect(view.topicNames()).toEqual(["t"]);
    await view.waitForRevision(await write(topicPut("old", "t", "deleting"), topicPut("new", "t")));
    await view.waitForRevision(await write(topicPut("old", "t", "deleted")));
    await view.waitForRevision(await write(del(keys.topic("old"))));
    expect(view.topicByName("t")?.topicId).toBe("new");
    expect(view.topicById("old")).toBeUndefined();
    expect(view.topicNames()).toEqual(["t"]);
  });

  it("hands out objects that never change", async () => {
    await view.waitForRevision(await write(partitionPut("id", 0)));
    const before = view.partition("id", 0);
    await view.waitForRevision(await write(partitionPut("id", 0, { leader: 2 })));
    expect(before?.leader).toBe(1);
    expect(view.partition("id", 0)?.leader).toBe(2);
    await view.waitForRevision(await write(del(keys.partition("id", 0))));
    expect(view.partition("id", 0)).toBeUndefined();
    expect([...view.partitions()]).toEqual([]);
  });

  it("lists again after its watch is lost, and reports exactly what it had missed", async () => {
    await view.waitForRevision(await write(topicPut("kept", "kept"), topicPut("gone", "gone"), nodePut(1)));
    changes.length = 0;
    store.faults.unavailable = true;
    store.loseWatches();
    await write(topicPut("new", "new"), del(keys.topic("gone")), del(keys.node("gateway", 1)));
    await clock.advance(20_000);
    expect(view.topicByName("gone")).toBeDefined();
    store.faults.unavailable = false;
    await clock.advance(20_000);
    expect(view.topicNames()).toEqual(["kept", "new"]);
    expect(view.nodes("gateway")).toEqual([]);
    expect(changes).toHaveLength(1);
    expect(changes[0]?.topicIds).toEqual(new Set(["new", "gone"]));
    await view.waitForRevision(await write(topicPut("later", "later")));
    expect(view.topicByName("later")).toBeDefined();
  });

  it("waits at its start for a store that is away, until it is told to give up", async () => {
    await write(topicPut("id", "t"));
    store.faults.unavailable = true;
    const opening = open();
    await clock.advance(30_000);
    store.faults.unavailable = false;
    await clock.advance(30_000);
    const opened = await opening;
    expect(opened.topicByName("t")).toBeDefined();
    opened.close();
    store.faults.unavailable = true;
    const giveUp = new AbortController();
    const outcome = ClusterView.open({ store, cluster, clock, logger, signal: giveUp.signal }).catch(String);
    await clock.advance(1000);
    giveUp.abort();
    await clock.advance(30_000);
    expect(await outcome).toContain("is closed");
  });

  it("skips values that it cannot read, keeps what was there before, and goes on", async () => {
    await view.waitForRevision(await write(partitionPut("id", 0)));
    const revision = await write(
      { kind: "put", key: keys.partition("id", 0), value: bytes("{broken") },
      { kind: "put", key: keys.topic("bad"), value: bytes('{"name":1}') },
      { kind: "put", key: `${keys.root}of-a-newer-version/x`, value: bytes("?") },
      topicPut("good", "good"),
    );
    await view.waitForRevision(revision);
    expect(view.partition("id", 0)?.leader).toBe(1);
    expect(view.topicById("bad")).toBeUndefined();
    expect(view.topicByName("good")).toBeDefined();
  });

  it("survives a listener that throws", async () => {
    const seen: number[] = [];
    view.onChange(() => {
      throw new Error("broken listener");
    });
    const unsubscribe = view.onChange((change) => seen.push(change.revision));
    const first = await write(nodePut(1));
    await view.waitForRevision(first);
    unsubscribe();
    await view.waitForRevision(await write(nodePut(2)));
    expect(seen).toEqual([first]);
    expect(view.nodes("gateway").map(({ nodeId }) => nodeId)).toEqual([1, 2]);
  });

  it("waits for a revision until it comes, the caller gives up, or the view is closed", async () => {
    store.faults.watchDelayMs = 100;
    const revision = await write(nodePut(1));
    let arrived = false;
    const waiting = view.waitForRevision(revision).then(() => {
      arrived = true;
    });
    await clock.advance(50);
    expect(arrived).toBe(false);
    await clock.advance(60);
    await waiting;
    const giveUp = new AbortController();
    const given = view.waitForRevision(revision + 1, giveUp.signal);
    giveUp.abort();
    await expect(given).rejects.toMatchObject({ code: "CANCELLED" });
    await expect(view.waitForRevision(revision + 1, giveUp.signal)).rejects.toMatchObject({
      code: "CANCELLED",
    });
    const closed = view.waitForRevision(revision + 1);
    view.close();
    await expect(closed).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(view.waitForRevision(revision + 1)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("shows after a refresh what the coordinator had committed before, though its watch lags", async () => {
    store.faults.watchDelayMs = 1000;
    await view.refresh();
    await write(topicPut("id", "t"), { kind: "put", key: keys.changed, value: bytes("{}") });
    // Keys of others change too; they need no refresh.
    await writer.transact({ compare: [], success: [{ kind: "put", key: "/elsewhere", value: bytes("") }] });
    const refreshed = view.refresh();
    await clock.advance(10);
    expect(view.topicByName("t")).toBeUndefined();
    await clock.advance(1000);
    await refreshed;
    expect(view.topicByName("t")).toBeDefined();
  });

  it("never answers a refresh with a read that began before it, and shares the others", async () => {
    store.faults.latencyMs = 100;
    store.faults.watchDelayMs = 1000;
    const early = view.refresh();
    await clock.advance(100);
    // The first read is over; the second one begins before the write, so those behind it need a third.
    const second = view.refresh();
    await clock.advance(99);
    await write(topicPut("id", "t"), { kind: "put", key: keys.changed, value: bytes("{}") });
    const seen: boolean[] = [];
    const late = Array.from({ length: 50 }, async () => {
      await view.refresh();
      seen.push(view.topicByName("t") !== undefined);
    });
    // One shared read of 100 ms, then the watch: fifty reads one after another would take 5 s.
    await clock.advance(1200);
    await Promise.all([early, second, ...late]);
    expect(seen).toEqual(Array.from({ length: 50 }, () => true));
  });

  it("gives a refresh up soon where the store is away", async () => {
    store.faults.unavailable = true;
    const refreshed = view.refresh().catch((thrown: unknown) => thrown);
    await clock.advance(2000);
    expect(await refreshed).toMatchObject({ code: "METADATA_UNAVAILABLE" });
    store.faults.unavailable = false;
    await view.refresh();
  });
});
