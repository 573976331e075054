import { ClusterView, MetadataKeys, ModelStore, topicStateCodec } from "@ottla/metadata";
import { nullLogger, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { Topics } from "./topics.ts";

const keys = new MetadataKeys("c");

async function setUp() {
  const clock = new VirtualClock();
  const store = new ModelStore({ clock });
  const view = await ClusterView.open({ store, cluster: "c", clock, logger: nullLogger });
  const topics = new Topics({ view, clock, topicDefaults: {}, logger: nullLogger, onGone: () => undefined });
  const create = async (name: string): Promise<void> => {
    const state = {
      name,
      partitionCount: 1,
      replicationFactor: 1,
      configs: {},
      phase: "live",
      internal: false,
      createdAtMs: 0,
      deletedAtMs: -1,
    } as const;
    const value = topicStateCodec.encode(state);
    await store.transact({ compare: [], success: [{ kind: "put", key: keys.topic(name), value }] });
  };
  return { clock, store, topics, create };
}

test("while the store is away one caller waits for it, and the others go on with what is known", async () => {
  const { store, topics, create, clock } = await setUp();
  await create("known");
  await clock.advance(1);
  store.faults.unavailable = true;
  const waiting = topics.refresh();
  await clock.advance(2_500);
  await waiting;
  const before = clock.monotonic();
  await topics.refresh();
  await expect(topics.get("unknown")).rejects.toMatchObject({
    code: "METADATA_UNAVAILABLE",
    retriable: true,
  });
  await expect(topics.get("known", "topic", 1)).rejects.toMatchObject({ code: "METADATA_UNAVAILABLE" });
  expect((await topics.get("known")).partitionCount).toBe(1);
  expect(clock.monotonic()).toBe(before);
  store.faults.unavailable = false;
  await clock.advance(1_000);
  await topics.refresh();
  await expect(topics.get("unknown")).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION" });
});
