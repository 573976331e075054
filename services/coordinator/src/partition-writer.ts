import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  type ClusterPartition,
  type Comparison,
  MAX_FENCED_OPERATIONS,
  type Operation,
  partitionStateCodec,
  type Revision,
} from "@ottla/metadata";
import { LatestPartitions } from "./latest-partitions.ts";
import { electionKind } from "./partition-leadership.ts";
import type { Term } from "./term.ts";

/** How many transactions are under way at a time. */
const MAX_CONCURRENT_WRITES = 8;

/** How many of those that come first a transaction takes before others get their part of it. */
const FIRST_PER_BATCH = 96;

/** A conflict comes from a write whose outcome was unknown; more than a few in a row have another cause. */
const MAX_ATTEMPTS = 5;

/** What is to become of a partition. */
export type PartitionDecision =
  /** It stays as it is. */
  | undefined
  | {
      readonly kind: "put";
      readonly state: ClusterPartition;
      /** What must hold beside: the registration of a node, mostly. */
      readonly compare?: readonly Comparison[];
    }
  | { readonly kind: "delete" };

export interface PartitionChange {
  readonly topicId: string;
  readonly partition: number;
  /**
   * Called with the latest state right before it is written, again after a conflict: so it must have no other
   * effect than to note what it refused.
   */
  readonly decide: (state: ClusterPartition) => PartitionDecision;
}

export type PartitionOutcome =
  /** The decision was to leave it. */
  | { readonly kind: "unchanged" }
  | { readonly kind: "absent" }
  | { readonly kind: "written"; readonly revision: Revision; readonly state: ClusterPartition | undefined }
  /** A comparison of the decision's own does not hold; nothing was written. */
  | { readonly kind: "stale" }
  /** Nothing was written. */
  | { readonly kind: "failed"; readonly error: OttlaError }
  /** It may have been written, or may still be. */
  | { readonly kind: "unknown"; readonly error: OttlaError };

interface Waiting {
  readonly change: PartitionChange;
  readonly settle: (outcome: PartitionOutcome) => void;
  attempts: number;
}

/** Whether somebody waits for the change, or it is part of something long. */
export type Turn = "first" | "later";

/** The changes of one partition: one after another. */
interface Slot {
  readonly key: string;
  /** "first" when one of those that wait is. */
  turn: Turn;
  readonly waiting: Waiting[];
}

interface BatchEntry {
  readonly slot: Slot;
  readonly waiting: Waiting;
  readonly before: ClusterPartition;
  readonly decision: NonNullable<PartitionDecision>;
}

/**
 * Writes all changes of existing partitions in one term (R1). Those that wait at the same time share
 * transactions, several transactions are under way at a time, and each partition is in one of them at the
 * most: so rounds, ISR changes and moves never conflict with one another, and none waits for the others'
 * partitions.
 */
export class PartitionWriter {
  readonly latest: LatestPartitions;
  readonly #term: Term;
  readonly #slots = new Map<string, Slot>();
  /** Slots that have something waiting and nothing under way, in the order they came. */
  readonly #ready = { first: new Map<string, Slot>(), later: new Map<string, Slot>() };
  #writesUnderWay = 0;
  #waitingCount = 0;
  #isScheduled = false;

  constructor(term: Term) {
    this.#term = term;
    this.latest = new LatestPartitions(term.view);
  }

  /**
   * For what is asked for from outside: throws THROTTLING_QUOTA_EXCEEDED when too many changes wait. One
   * outcome for each change, in their order.
   */
  request(changes: readonly PartitionChange[]): Promise<PartitionOutcome[]> {
    const limit = this.#term.limits.maxWaitingChanges;
    if (this.#waitingCount + changes.length > limit) {
      throw new OttlaError(
        "THROTTLING_QUOTA_EXCEEDED",
        `${this.#waitingCount} changes of partitions wait for the metadata store, the limit is ${limit}`,
        { metadata: { limit: String(limit) } },
      );
    }
    return this.apply(changes, "first");
  }

  /** The same for rounds, which come one after another and change each partition once at the most. */
  apply(changes: readonly PartitionChange[], turn: Turn = "later"): Promise<PartitionOutcome[]> {
    return Promise.all(changes.map((change) => this.#add(change, turn)));
  }

  /** Whether a change of it waits or is being written. */
  isBusy({ topicId, partition }: ClusterPartition): boolean {
    return this.#slots.has(this.#term.view.keys.partition(topicId, partition));
  }

  #add(change: PartitionChange, turn: Turn): Promise<PartitionOutcome> {
    return new Promise((resolve) => {
      const key = this.#term.view.keys.partition(change.topicId, change.partition);
      const before = this.#slots.get(key);
      const slot = before ?? { key, waiting: [], turn };
      if (turn === "first") slot.turn = "first";
      this.#slots.set(key, slot);
      // One that is being written becomes ready when that has ended.
      const isUnderWay = before !== undefined && !this.#ready.first.has(key) && !this.#ready.later.has(key);
      if (!isUnderWay) this.#markReady(slot);
      this.#waitingCount += 1;
      slot.waiting.push({ change, settle: resolve, attempts: 0 });
      this.#schedule();
    });
  }

  /** Not at once: what is asked for in the same turn shares a transaction. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#writeAll();
    });
  }

  #writeAll(): void {
    const { first, later } = this.#ready;
    while (this.#writesUnderWay < MAX_CONCURRENT_WRITES && first.size + later.size > 0) {
      const batch = this.#nextBatch();
      if (batch.entries.length === 0) continue;
      this.#writesUnderWay += 1;
      void this.#write(batch).finally(() => {
        this.#writesUnderWay -= 1;
        this.#writeAll();
      });
    }
  }

  #markReady(slot: Slot): void {
    const { first, later } = this.#ready;
    if (slot.turn === "later") {
      later.set(slot.key, slot);
      return;
    }
    later.delete(slot.key);
    first.set(slot.key, slot);
  }

  #nextBatch(): Batch {
    const batch = new Batch();
    const { first, later } = this.#ready;
    // What may wait gets a part of each transaction all the same.
    const most = later.size > 0 ? FIRST_PER_BATCH : Number.POSITIVE_INFINITY;
    if (this.#fill(batch, first, most) && this.#fill(batch, later)) this.#fill(batch, first);
    return batch;
  }

  /** Returns false when the batch is full. */
  #fill(batch: Batch, ready: Map<string, Slot>, most = Number.POSITIVE_INFINITY): boolean {
    for (const [key, slot] of ready) {
      if (batch.entries.length >= most) return true;
      const entry = this.#nextEntry(slot);
      if (entry !== undefined && !batch.add(entry)) return false;
      ready.delete(key);
    }
    return true;
  }

  /** The first change of the slot that has something to write; those before it are settled. */
  #nextEntry(slot: Slot): BatchEntry | undefined {
    for (;;) {
      const [waiting] = slot.waiting;
      if (waiting === undefined) {
        this.#slots.delete(slot.key);
        return undefined;
      }
      const { topicId, partition, decide } = waiting.change;
      const before = this.latest.get(topicId, partition);
      if (before === undefined) {
        this.#settle(slot, waiting, { kind: "absent" });
        continue;
      }
      try {
        const decision = decide(before);
        if (decision !== undefined) return { slot, waiting, before, decision };
        this.#settle(slot, waiting, { kind: "unchanged" });
      } catch (thrown) {
        this.#settle(slot, waiting, { kind: "failed", error: toOttlaError(thrown) });
      }
    }
  }

  async #write(batch: Batch): Promise<void> {
    try {
      const { revision } = await this.#term.writer.write(batch);
      this.#afterWrite(batch, revision);
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code === "METADATA_CONFLICT") await this.#afterConflict(batch, error);
      else {
        const kind = error.code === "NOT_CONTROLLER" ? "failed" : "unknown";
        for (const { slot, waiting } of batch.entries) this.#settle(slot, waiting, { kind, error });
      }
    }
    for (const { slot } of batch.entries) {
      if (slot.waiting.length > 0) this.#markReady(slot);
      else this.#slots.delete(slot.key);
    }
  }

  #afterWrite(batch: Batch, revision: Revision): void {
    for (const { slot, waiting, before, decision } of batch.entries) {
      const { topicId, partition } = before;
      const state = decision.kind === "put" ? { ...decision.state, modRevision: revision } : undefined;
      if (state === undefined) this.latest.delete(topicId, partition, revision);
      else this.latest.put(state);
      if (state !== undefined && state.leaderEpoch !== before.leaderEpoch) this.#noteElection(before, state);
      this.#settle(slot, waiting, { kind: "written", revision, state });
    }
  }

  #noteElection(before: ClusterPartition, after: ClusterPartition): void {
    const kind = electionKind(before, after);
    this.#term.metrics.leaderElected(kind);
    if (kind !== "unclean") return;
    const { topicId, partition, leader } = after;
    this.#term.logger.warn(
      { topicId, partition, leader, isr: before.isr, eligibleReplicas: before.eligibleReplicas },
      "elected a leader that may lack acknowledged records: no other was left",
    );
  }

  /**
   * Those whose own comparisons do not hold are settled; all others are decided anew on what is there now.
   */
  async #afterConflict(batch: Batch, error: OttlaError): Promise<void> {
    const { store, view, ended } = this.#term;
    try {
      const broken = new Set<string>();
      const checks = [...batch.beside.values()].map(async (comparison) => {
        const entry = await store.get(comparison.key);
        if (!holds(comparison, entry)) broken.add(comparison.key);
      });
      await Promise.all([...checks, view.refresh(ended)]);
      for (const { slot, waiting, decision } of batch.entries) {
        const compare = decision.kind === "put" ? (decision.compare ?? []) : [];
        waiting.attempts += 1;
        if (compare.some(({ key }) => broken.has(key))) this.#settle(slot, waiting, { kind: "stale" });
        else if (waiting.attempts >= MAX_ATTEMPTS) this.#settle(slot, waiting, { kind: "failed", error });
      }
    } catch (thrown) {
      const failure = toOttlaError(thrown);
      for (const { slot, waiting } of batch.entries) {
        this.#settle(slot, waiting, { kind: "failed", error: failure });
      }
    }
  }

  #settle(slot: Slot, waiting: Waiting, outcome: PartitionOutcome): void {
    if (slot.waiting[0] !== waiting) return;
    slot.waiting.shift();
    this.#waitingCount -= 1;
    waiting.settle(outcome);
  }
}

/** One transaction while it is put together. */
class Batch {
  readonly compare: Comparison[] = [];
  readonly success: Operation[] = [];
  readonly entries: BatchEntry[] = [];
  /** Comparisons beside those of the partitions' own revisions, by key. */
  readonly beside = new Map<string, Comparison>();

  /** Returns false when it does not fit any more. */
  add(entry: BatchEntry): boolean {
    const { slot, before, decision } = entry;
    const compare = decision.kind === "put" ? (decision.compare ?? []) : [];
    const added = compare.filter((comparison) => !this.beside.has(comparison.key));
    if (this.success.length + 1 > MAX_FENCED_OPERATIONS) return false;
    if (this.compare.length + 1 + added.length > MAX_FENCED_OPERATIONS) return false;
    // Two that need different states of the same key can not both be right: one waits for the next.
    if (compare.some((comparison) => !isSame(comparison, this.beside.get(comparison.key)))) return false;
    for (const comparison of added) this.beside.set(comparison.key, comparison);
    this.compare.push({ key: slot.key, modRevision: before.modRevision }, ...added);
    this.success.push(operation(slot.key, decision));
    this.entries.push(entry);
    return true;
  }
}

function operation(key: string, decision: NonNullable<PartitionDecision>): Operation {
  if (decision.kind === "delete") return { kind: "delete", key };
  const { topicId: _topicId, partition: _partition, modRevision: _modRevision, ...state } = decision.state;
  return { kind: "put", key, value: partitionStateCodec.encode(state) };
}

function isSame(wanted: Comparison, present: Comparison | undefined): boolean {
  return present === undefined || JSON.stringify(wanted) === JSON.stringify(present);
}

function holds(
  comparison: Comparison,
  entry: { readonly createRevision: Revision; readonly modRevision: Revision } | undefined,
): boolean {
  if ("createRevision" in comparison) return (entry?.createRevision ?? 0) === comparison.createRevision;
  return (entry?.modRevision ?? 0) === comparison.modRevision;
}

/** Throws the first error. Returns the last revision that was written, if one was. */
export function failUnlessWritten(outcomes: readonly PartitionOutcome[]): Revision {
  let revision = 0;
  for (const outcome of outcomes) {
    if (outcome.kind === "failed" || outcome.kind === "unknown") throw outcome.error;
    if (outcome.kind === "written") revision = Math.max(revision, outcome.revision);
  }
  return revision;
}
