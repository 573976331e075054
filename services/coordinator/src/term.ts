import type { OttlaError } from "@ottla/errors";
import {
  type ClusterView,
  type FencedWrite,
  type FencedWriter,
  type LevelRange,
  MAX_FENCED_OPERATIONS,
  type MetadataStore,
  type PartitionState,
  partitionStateCodec,
  type Revision,
} from "@ottla/metadata";
import type { Transport } from "@ottla/rpc";
import type { Clock, Logger, Random } from "@ottla/runtime";
import type { CoordinatorMetrics } from "./coordinator-metrics.ts";
import type { CoordinatorLimits, TopicDefaults } from "./coordinator-options.ts";
import type { CoordinatorMutants } from "./mutants.ts";

/** How many transactions of one piece of work are under way at a time. */
const MAX_CONCURRENT_WRITES = 8;

/** Everything that the work of an elected coordinator needs; made anew for each term. */
export interface Term {
  readonly store: MetadataStore;
  readonly view: ClusterView;
  readonly writer: FencedWriter;
  /** Writes while the cluster has to be recovered, and nobody else does. */
  readonly recoveryWriter: FencedWriter;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: CoordinatorMetrics;
  readonly defaults: TopicDefaults;
  readonly limits: CoordinatorLimits;
  readonly mutants: CoordinatorMutants;
  /** The feature levels at which this program can work. */
  readonly levels: LevelRange;
  /** To a storage node that waits for a recovery, by its address. */
  readonly storageTransport?: (address: string) => Transport;
  /** Aborts when the term is over. */
  readonly ended: AbortSignal;
}

/** Writes, and returns when the view shows it: the next step decides on what stands there now. */
export async function writeAndSee(term: Term, write: FencedWrite): Promise<Revision> {
  const { revision } = await term.writer.write(write);
  await term.view.waitForRevision(revision, term.ended);
  return revision;
}

/** One part of a larger piece of work; as many as fit share a transaction. */
export interface WriteUnit {
  readonly compare: FencedWrite["compare"];
  readonly success: FencedWrite["success"];
}

/**
 * Writes many units, in as few transactions as hold them, several at a time; `shared` comparisons hold for
 * each. When one fails the others still end before this throws. Returns the last revision, when the view
 * shows it.
 */
export async function writeInBatches(
  term: Term,
  units: readonly WriteUnit[],
  shared: FencedWrite["compare"] = [],
): Promise<Revision> {
  const batches = toBatches(units, shared);
  let revision: Revision = term.view.revision;
  for (let start = 0; start < batches.length; start += MAX_CONCURRENT_WRITES) {
    const writes = batches
      .slice(start, start + MAX_CONCURRENT_WRITES)
      .map((batch) => term.writer.write(batch));
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === "rejected") throw outcome.reason as OttlaError;
      revision = Math.max(revision, outcome.value.revision);
    }
  }
  await term.view.waitForRevision(revision, term.ended);
  return revision;
}

function toBatches(units: readonly WriteUnit[], shared: FencedWrite["compare"]): FencedWrite[] {
  const batches: FencedWrite[] = [];
  let compare = [...shared];
  let success: FencedWrite["success"][number][] = [];
  for (const unit of units) {
    const fits =
      compare.length + unit.compare.length <= MAX_FENCED_OPERATIONS &&
      success.length + unit.success.length <= MAX_FENCED_OPERATIONS;
    if (!fits) {
      batches.push({ compare, success });
      compare = [...shared];
      success = [];
    }
    compare.push(...unit.compare);
    success.push(...unit.success);
  }
  if (success.length > 0) batches.push({ compare, success });
  return batches;
}

/** Creates a partition, which must not be there. */
export function partitionCreation(
  term: Term,
  topicId: string,
  partition: number,
  state: PartitionState,
): WriteUnit {
  const key = term.view.keys.partition(topicId, partition);
  return {
    compare: [{ key, createRevision: 0 }],
    success: [{ kind: "put", key, value: partitionStateCodec.encode(state) }],
  };
}
