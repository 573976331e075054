import { create } from "@bufbuild/protobuf";
import { ClusterView, MetadataKeys, ModelStore, topicStateCodec } from "@ottla/metadata";
import { CommittedOffsetSchema } from "@ottla/proto/ottla/internal/v1/groups";
import { nullLogger, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { currentOffsets } from "./current-offsets.ts";
import { Topics } from "./topics.ts";

const keys = new MetadataKeys("c");
const OLD = "0b0b0b0b-0000-4000-8000-000000000001";
const NEW = "0b0b0b0b-0000-4000-8000-000000000002";

async function setUp() {
  const clock = new VirtualClock();
  const store = new ModelStore({ clock });
  const view = await ClusterView.open({ store, cluster: "c", clock, logger: nullLogger });
  const topics = new Topics({ view, clock, topicDefaults: {}, logger: nullLogger, onGone: () => undefined });
  const put = async (topicId: string, phase: "live" | "deleted"): Promise<void> => {
    const value = topicStateCodec.encode({
      name: "t",
      partitionCount: 1,
      replicationFactor: 1,
      configs: {},
      phase,
      internal: false,
      createdAtMs: 0,
      deletedAtMs: phase === "live" ? -1 : 0,
    });
    const success = [keys.changed, keys.topic(topicId)].map((key) => ({ kind: "put", key, value }) as const);
    await store.transact({ compare: [], success });
  };
  return { clock, store, topics, put };
}

function committed(topicId: string, offset: bigint) {
  return create(CommittedOffsetSchema, { topic: "t", partition: 0, offset, topicId, metadata: "m" });
}

async function offsetsOf(topics: Topics, ...offsets: ReturnType<typeof committed>[]): Promise<bigint[]> {
  return (await currentOffsets(topics, offsets)).map(({ offset }) => offset);
}

test("a topic under the name of a deleted one is not read from where the deleted one was", async () => {
  const { clock, topics, put } = await setUp();
  await put(OLD, "live");
  await clock.advance(1);
  expect(await offsetsOf(topics, committed(OLD, 10n), committed("", 3n))).toEqual([10n, 3n]);
  await put(OLD, "deleted");
  await put(NEW, "live");
  await clock.advance(1);
  expect(await offsetsOf(topics, committed(OLD, 10n), committed(NEW, 2n))).toEqual([-1n, 2n]);
});

test("an offset of a topic that the gateway has yet to hear of counts", async () => {
  const { clock, store, topics, put } = await setUp();
  await put(OLD, "live");
  await clock.advance(1);
  store.faults.watchDelayMs = 100;
  await put(OLD, "deleted");
  await put(NEW, "live");
  const asked = offsetsOf(topics, committed(NEW, 2n));
  await clock.advance(100);
  expect(await asked).toEqual([2n]);
});

test("an offset of another topic is not guessed at while the store cannot tell", async () => {
  const { clock, store, topics, put } = await setUp();
  await put(OLD, "live");
  await clock.advance(1);
  store.faults.unavailable = true;
  const asked = currentOffsets(topics, [committed(NEW, 2n)]).catch((thrown: unknown) => thrown);
  await clock.advance(5_000);
  expect(await asked).toMatchObject({ code: "METADATA_UNAVAILABLE", retriable: true });
});
