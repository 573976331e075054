import { nullLogger, VirtualClock } from "@ottla/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ClusterChange } from "./cluster-state.ts";
import { ClusterView } from "./cluster-view.ts";
import { MetadataKeys } from "./keys.ts";
import type { Operation } from "./metadata-store.ts";
import { ModelServer } from "./model-server.ts";
import { ModelStore } from "./model-store.ts";
import { bytes } from "./store-contract-tools.ts";
import type { SeenStore } from "./store-history.ts";
import { awaitingStateCodec, recoveryStateCodec, topicStateCodec } from "./values.ts";

const cluster = "c";
const keys = new MetadataKeys(cluster);
const logger = nullLogger;
let clock: VirtualClock;
let store: ModelStore;
let writer: ModelStore;
/** What is there after the backup was restored. */
let restored: ModelStore;
let remembered: SeenStore[];
let view: ClusterView;
let changes: ClusterChange[];

async function write(...success: Operation[]): Promise<number> {
  return (await writer.transact({ compare: [], success })).revision;
}

function topicPut(topicId: string, name: string): Operation {
  const value = topicStateCodec.encode({
    name,
    partitionCount: 1,
    replicationFactor: 1,
    configs: {},
    phase: "live",
    internal: false,
    createdAtMs: 0,
    deletedAtMs: -1,
  });
  return { kind: "put", key: keys.topic(topicId), value };
}

describe("ClusterView of a store that a backup was restored into", () => {
  const lastRemembered = () => remembered.at(-1);

  /** What the view is given from now on comes from there. */
  function restore(): void {
    store.range = (prefix, options) => restored.range(prefix, options);
    store.watch = (prefix, from, handler) => restored.watch(prefix, from, handler);
    store.loseWatches();
  }

  function changed(): Operation {
    return { kind: "put", key: keys.changed, value: bytes("{}") };
  }

  function recovery(generation: number): Operation {
    return { kind: "put", key: keys.recovery, value: recoveryStateCodec.encode({ generation }) };
  }

  beforeEach(async () => {
    clock = new VirtualClock();
    const server = new ModelServer({ clock });
    store = new ModelStore({ clock, server });
    writer = new ModelStore({ clock, server });
    changes = [];
    remembered = [];
    const memory = { seen: undefined, remember: (seen: SeenStore) => remembered.push(seen) };
    view = await ClusterView.open({ store, cluster, clock, logger });
    view.recall(memory);
    view.onChange((change) => changes.push(change));
    restored = new ModelStore({ clock });
    await restored.transact({ compare: [], success: [topicPut("a", "a"), changed()] });
    for (let count = 0; count < 10; count += 1) await write(topicPut("a", "a"), changed());
    await view.waitForRevision(await write(topicPut("b", "b"), changed()));
  });

  afterEach(async () => {
    view.close();
    await store.close();
    await writer.close();
  });

  it("says so, shows what is there, and remembers it until a recovery follows", async () => {
    const seen = view.seenStore;
    const waiting = view.waitForRevision(1000).catch((thrown: unknown) => thrown);
    restore();
    await clock.advance(5000);
    expect(view.goneBackTo?.revision).toBeLessThan(seen.revision);
    expect(view.recoveryNeed).toContain("a backup was restored");
    expect(view.topicNames()).toEqual(["a"]);
    expect(changes.at(-1)?.recoveryChanged).toBe(true);
    expect(await waiting).toMatchObject({ code: "METADATA_UNAVAILABLE" });
    expect(lastRemembered()).toEqual({ ...seen, hasGoneBack: true });
    // However far it moves on by itself.
    for (let count = 0; count < 20; count += 1) {
      await restored.transact({ compare: [], success: [topicPut("c", "c"), changed()] });
    }
    await clock.advance(10);
    expect(view.topicNames()).toEqual(["a", "c"]);
    expect(view.goneBackTo).toBeDefined();
    await restored.transact({ compare: [], success: [recovery(5)] });
    await clock.advance(10);
    expect(view.goneBackTo).toBeUndefined();
    expect(view.recoveryNeed).toBeUndefined();
    expect(lastRemembered()).toMatchObject({ generation: 5, hasGoneBack: false });
  });

  it("notices one whose revisions were raised, by the last write of a coordinator", async () => {
    for (let count = 0; count < 20; count += 1) {
      await restored.transact({ compare: [], success: [{ kind: "put", key: "/x", value: bytes("") }] });
    }
    restore();
    await clock.advance(5000);
    expect(view.goneBackTo?.revision).toBeGreaterThan(view.seenStore.revision);
    expect(view.topicNames()).toEqual(["a"]);
  });

  it("notices one after a restart, from what was remembered", async () => {
    const [before, seen] = [view.seenStore, lastRemembered()];
    expect(seen).toEqual(before);
    restore();
    view.close();
    view = await ClusterView.open({ store, cluster, clock, logger });
    view.recall({ seen, remember: () => {} });
    expect(view.goneBackTo).toBeDefined();
    // A recovery that had not heard of this node may have left revisions that it has seen.
    const { revision } = await restored.transact({ compare: [], success: [recovery(5)] });
    await clock.advance(10);
    expect(revision).toBeLessThan(before.revision);
    expect(view.goneBackTo).toBeDefined();
    for (let count = revision; count < before.revision; count += 1) {
      await restored.transact({ compare: [], success: [topicPut("c", "c")] });
    }
    await clock.advance(10);
    expect(view.goneBackTo).toBeUndefined();
  });

  it("says which storage nodes wait for a recovery, unless one has covered them", async () => {
    const awaiting = (nodeId: number, generation: number): Operation => ({
      kind: "put",
      key: keys.awaiting(nodeId),
      value: awaitingStateCodec.encode({
        address: `host:${nodeId}`,
        directoryId: `d${nodeId}`,
        incarnation: "i",
        generation,
        revision: 9,
      }),
    });
    await view.waitForRevision(await write(awaiting(2, 0), awaiting(1, 0)));
    expect(view.recoveryNeed).toContain("storage nodes 1, 2 had seen");
    await view.waitForRevision(await write(recovery(1), { kind: "delete", key: keys.awaiting(1) }));
    expect(view.recoveryNeed).toBeUndefined();
  });
});
