import { OttlaError } from "@ottla/errors";
import {
  type AppendEntry,
  type AppendRequest,
  type FetchEntry,
  StorageService,
} from "@ottla/proto/ottla/internal/v1/storage";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { InProcessTransport, type MessageStream, ServiceRegistry } from "@ottla/rpc";
import { VirtualClock } from "@ottla/runtime";
import type { LeaderChange, LeaderTerm, LeaderView } from "./leader-view.ts";
import { PartitionRouter } from "./partition-router.ts";

const BATCH_HEADER_BYTES = 61;

type AppendStream = MessageStream<object, AppendRequest>;

/** A storage node that does what the test says with each append. */
export class ScriptedNode {
  readonly registry = new ServiceRegistry();
  readonly appended: string[] = [];
  readonly messages: number[] = [];
  /** How many streams of appends were opened. */
  streams = 0;
  creditBytes = 1_000_000n;
  onAppend: (entry: AppendEntry, text: string) => object | "silent" | "break" = (_, text) => {
    this.appended.push(text);
    return { baseOffset: BigInt(this.appended.length - 1) };
  };
  onFetch: (entry: FetchEntry) => object = () => ({ nextOffset: 7n });

  constructor() {
    this.registry.add(StorageService, {
      append: (stream) => this.#append(stream),
      fetch: async (stream) => {
        for await (const { entries } of stream.received) {
          for (const entry of entries) {
            const { correlationId } = entry;
            const { batches = [], ...answer } = this.onFetch(entry) as { batches?: Uint8Array[] };
            stream.send({ answers: [{ correlationId, ...answer }], batches });
          }
        }
      },
      listOffsets: async ({ queries }) => ({
        answers: queries.map(({ partition }) => ({ offset: BigInt(partition?.partition ?? -1) })),
      }),
      deleteRecords: async ({ beforeOffset }) => ({ logStartOffset: beforeOffset }),
      findEpochEnds: async ({ queries }) => ({
        answers: queries.map(({ epoch, partition }) => ({
          epoch,
          endOffset: BigInt(partition?.partition ?? -1),
        })),
      }),
      describeProducers: async ({ partitions }) => ({
        partitions: partitions.map(({ partition }) => ({ producers: [{ producerId: BigInt(partition) }] })),
      }),
      describeLogs: () => Promise.reject(new Error("not served here")),
      describePartitions: async ({ partitions }) => ({
        partitions: partitions.map((partition) => ({ partition })),
      }),
    });
  }

  async #append(stream: AppendStream): Promise<void> {
    this.streams += 1;
    stream.send({ creditBytes: this.creditBytes });
    for await (const { entries, batches } of stream.received) {
      this.messages.push(entries.length);
      entries.forEach((entry, index) => {
        const answer = this.onAppend(entry, new TextDecoder().decode(batches[index]));
        if (answer === "break") throw new OttlaError("UNAVAILABLE", "the node broke");
        if (answer !== "silent")
          stream.send({ answers: [{ correlationId: entry.correlationId, ...answer }] });
      });
    }
  }
}

/** What the pipeline looks at in a producer's batch, with the text behind it. */
export function producerBatch(text: string, baseSequence: number, producerId = 1n): Uint8Array {
  const batch = new Uint8Array(BATCH_HEADER_BYTES + text.length);
  const view = new DataView(batch.buffer);
  view.setBigInt64(43, producerId);
  view.setInt32(53, baseSequence);
  batch.set(new TextEncoder().encode(text), BATCH_HEADER_BYTES);
  return batch;
}

export function refused(reason: string, metadata: Record<string, string> = { not_appended: "true" }): object {
  return { error: { reason, message: reason, retriable: true, metadata } };
}

/** The error that a call ends with; it may be asked for before time has moved on. */
export function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => "no failure",
    (thrown: unknown) => thrown,
  );
}

const REF = { topicId: "t", partition: 0 };

/** What the test changes, and the view shows. */
interface TestState {
  placement: LeaderTerm | undefined;
  replicas: number[];
  zones: Map<number, string>;
  onRefresh: () => void;
  /** Whether the node is registered, so that connections to it can be made. */
  registered: boolean;
  connections: number;
}

/** A view of one partition, which tells of changes as `ClusterView` does. */
function testView(state: TestState): {
  readonly view: LeaderView;
  readonly tell: (change: Partial<LeaderChange>) => void;
} {
  const listeners = new Set<(change: LeaderChange) => void>();
  const tell = (change: Partial<LeaderChange>): void => {
    for (const listener of listeners) listener({ partitions: [], nodes: [], ...change });
  };
  const view: LeaderView = {
    partition: () => state.placement && { ...state.placement, replicas: state.replicas, isr: state.replicas },
    node: (_, nodeId) => ({ zone: state.zones.get(nodeId) ?? "" }),
    refresh: async () => {
      const before = state.placement;
      state.onRefresh();
      if (state.placement !== before) tell({ partitions: [REF] });
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return { view, tell };
}

export function setUp(options: { maxWaitingBytesPerNode?: number; readZone?: string } = {}) {
  const clock = new VirtualClock();
  const nodes = new Map([
    [1, new ScriptedNode()],
    [2, new ScriptedNode()],
  ]);
  const state: TestState = {
    placement: { leader: 1, leaderEpoch: 5 },
    replicas: [1],
    zones: new Map(),
    onRefresh: () => undefined,
    registered: true,
    connections: 0,
  };
  const { view, tell } = testView(state);
  const router = new PartitionRouter({
    view,
    transportFor: (nodeId) => {
      if (!state.registered) throw new OttlaError("LEADER_NOT_AVAILABLE", `node ${nodeId} is not registered`);
      state.connections += 1;
      const { registry } = nodes.get(nodeId) as ScriptedNode;
      return new InProcessTransport({ registry, clock, copy: true });
    },
    clock,
    ...options,
  });
  const append = (
    text: string,
    more: { idempotent?: boolean; timeoutMs?: number; batch?: Uint8Array } = {},
  ) =>
    router.append({
      topicId: "t",
      partition: 0,
      batch: new TextEncoder().encode(text),
      acks: Acks.ALL,
      timeoutMs: 5_000,
      validated: true,
      idempotent: false,
      ...more,
    });
  /** The view shows another leader, as a watch brings it. */
  const elect = (leader: number, leaderEpoch: number): void => {
    state.placement = { leader, leaderEpoch };
    tell({ partitions: [REF] });
  };
  return {
    clock,
    state,
    router,
    append,
    elect,
    one: nodes.get(1) as ScriptedNode,
    two: nodes.get(2) as ScriptedNode,
  };
}
