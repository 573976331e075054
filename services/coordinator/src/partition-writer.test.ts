import {
  ClusterView,
  FencedWriter,
  type MetadataKeys,
  ModelStore,
  type PartitionState,
  partitionStateCodec,
  SUPPORTED_LEVELS,
} from "@ottla/metadata";
import { createMetricsRegistry, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CoordinatorMetrics } from "./coordinator-metrics.ts";
import { DEFAULT_LIMITS } from "./coordinator-options.ts";
import { NO_MUTANTS } from "./mutants.ts";
import { newPartitionState } from "./partition-leadership.ts";
import { type PartitionChange, PartitionWriter } from "./partition-writer.ts";

const TOPIC = "topic";
const PARTITIONS = 3000;

let clock: VirtualClock;
let store: ModelStore;
let view: ClusterView;
let writer: PartitionWriter;

beforeEach(async () => {
  clock = new VirtualClock();
  store = new ModelStore({ clock });
  view = await ClusterView.open({ store, cluster: "test", clock, logger: nullLogger });
  const { keys } = view;
  const value = new TextEncoder().encode("{}");
  const elected = await store.transact({
    compare: [],
    success: [{ kind: "put", key: keys.controller, value }],
  });
  await createPartitions(keys);
  const fenced = new FencedWriter({ store, keys, term: elected.revision, by: "someone" });
  writer = new PartitionWriter({
    store,
    view,
    writer: fenced,
    recoveryWriter: fenced,
    clock,
    random: new SeededRandom(1),
    logger: nullLogger,
    metrics: new CoordinatorMetrics(createMetricsRegistry()),
    defaults: { numPartitions: 1, topicDefaults: {} },
    limits: { ...DEFAULT_LIMITS, maxWaitingChanges: 2 * PARTITIONS },
    mutants: NO_MUTANTS,
    levels: SUPPORTED_LEVELS,
    ended: new AbortController().signal,
  });
});

afterEach(async () => {
  view.close();
  await store.close();
});

async function createPartitions(keys: MetadataKeys): Promise<void> {
  const value = partitionStateCodec.encode(newPartitionState([1, 2], () => 10, 1));
  for (let start = 0; start < PARTITIONS; start += 100) {
    const success = Array.from({ length: 100 }, (_, i) => {
      return { kind: "put" as const, key: keys.partition(TOPIC, start + i), value };
    });
    await store.transact({ compare: [], success });
  }
  await clock.runUntilIdle();
}

/** Counts up the partition epoch. */
function next(partition: number, onDecide: (state: PartitionState) => void = () => {}): PartitionChange {
  return {
    topicId: TOPIC,
    partition,
    decide: (state) => {
      onDecide(state);
      return { kind: "put", state: { ...state, partitionEpoch: state.partitionEpoch + 1 } };
    },
  };
}

function all(): PartitionChange[] {
  return Array.from({ length: PARTITIONS }, (_, partition) => next(partition));
}

function epoch(partition: number): number | undefined {
  return view.partition(TOPIC, partition)?.partitionEpoch;
}

describe("changes of partitions", () => {
  it("share transactions, as few as hold them", async () => {
    const before = store.server.revision;
    await writer.apply(all());
    expect(store.server.revision - before).toBe(Math.ceil(PARTITIONS / 127));
  });

  it("of one partition follow one another, each on what the one before wrote", async () => {
    store.faults.watchDelayMs = 1000;
    const seen: number[] = [];
    const note = (state: PartitionState): void => void seen.push(state.partitionEpoch);
    const outcomes = await writer.apply([next(3, note), next(3, note), next(3, note)]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(["written", "written", "written"]);
    expect(seen).toEqual([0, 1, 2]);
    await clock.advance(1000);
    expect(epoch(3)).toBe(3);
  });

  it("that somebody waits for come before those of a long round", async () => {
    store.faults.latencyMs = 10;
    const ended: string[] = [];
    const last = PARTITIONS - 1;
    // Eight transactions are under way before the request comes, sixteen wait.
    void writer.apply(all().slice(0, last)).then(() => ended.push("round"));
    await clock.advance(5);
    void writer.request([next(last)]).then(() => ended.push("request"));
    await clock.advance(1000);
    expect(ended).toEqual(["request", "round"]);
    expect(epoch(last)).toBe(1);
  });

  it("are decided anew when somebody else was faster", async () => {
    const key = view.keys.partition(TOPIC, 0);
    store.faults.watchDelayMs = 50;
    const value = partitionStateCodec.encode({
      ...newPartitionState([1, 2], () => 10, 1),
      partitionEpoch: 7,
    });
    const changed = { kind: "put" as const, key: view.keys.changed, value };
    await store.transact({ compare: [], success: [{ kind: "put", key, value }, changed] });
    const seen: number[] = [];
    const outcomes = writer.apply([next(0, (state) => seen.push(state.partitionEpoch)), next(1)]);
    await clock.advance(100);
    expect(await outcomes).toMatchObject([{ kind: "written" }, { kind: "written" }]);
    expect(seen).toEqual([0, 7]);
    await clock.advance(100);
    expect([epoch(0), epoch(1)]).toEqual([8, 1]);
  });

  it("whose own condition does not hold are stale, without harm to others", async () => {
    const compare = [{ key: view.keys.node("partition-storage", 5), createRevision: 4711 }];
    const stale: PartitionChange = {
      topicId: TOPIC,
      partition: 1,
      decide: (state) => ({ kind: "put", state, compare }),
    };
    expect(await writer.apply([next(0), stale, next(2)])).toMatchObject([
      { kind: "written" },
      { kind: "stale" },
      { kind: "written" },
    ]);
  });

  it("that nothing is known of say so, and others go on from what is there", async () => {
    store.faults.nextTransaction = "request-lost";
    const lost = await writer.apply([next(0), next(1)]);
    expect(lost).toMatchObject([{ kind: "unknown" }, { kind: "unknown" }]);
    store.faults.nextTransaction = "answer-lost";
    expect(await writer.apply([next(0), next(1)])).toMatchObject([{ kind: "written" }, { kind: "written" }]);
  });

  it("of absent partitions, without effect or with an error are told apart", async () => {
    const kept = { topicId: TOPIC, partition: 0, decide: () => undefined };
    const broken = {
      topicId: TOPIC,
      partition: 1,
      decide: () => {
        throw new RangeError("broken");
      },
    };
    const absent = { topicId: TOPIC, partition: PARTITIONS, decide: () => undefined };
    expect(await writer.apply([kept, broken, absent])).toMatchObject([
      { kind: "unchanged" },
      { kind: "failed" },
      { kind: "absent" },
    ]);
  });

  it("can delete: what follows finds no partition", async () => {
    store.faults.watchDelayMs = 1000;
    const gone: PartitionChange = { topicId: TOPIC, partition: 0, decide: () => ({ kind: "delete" }) };
    expect(await writer.apply([gone, next(0)])).toMatchObject([{ kind: "written" }, { kind: "absent" }]);
  });

  it("are refused when too many wait, but for rounds", async () => {
    store.faults.latencyMs = 10;
    const waiting = [writer.request(all()), writer.request(all())];
    expect(() => writer.request([next(0)])).toThrow("6000 changes of partitions wait");
    waiting.push(writer.apply([next(0)]));
    await clock.advance(1000);
    for (const outcomes of await Promise.all(waiting)) {
      expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(["written"]));
    }
  });

  it("of a deposed coordinator change nothing (R1)", async () => {
    const value = new TextEncoder().encode("{}");
    const { controller } = view.keys;
    await store.transact({ compare: [], success: [{ kind: "delete", key: controller }] });
    await store.transact({ compare: [], success: [{ kind: "put", key: controller, value }] });
    expect(await writer.apply([next(0)])).toMatchObject([
      { kind: "failed", error: { code: "NOT_CONTROLLER" } },
    ]);
    expect(epoch(0)).toBe(0);
  });
});
