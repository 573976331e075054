import { OttlaError, toOttlaError } from "@ottla/errors";
import { type GroupConfig, OWNER_LOADINGS } from "@ottla/metadata";
import { Acks } from "@ottla/proto/ottla/v1/record";
import { encodeControlBatch } from "@ottla/records";
import type { PartitionRouter } from "@ottla/routing";
import type { Clock, Deadlines, Logger, Random } from "@ottla/runtime";
import { expireOffsets } from "./expire-offsets.ts";
import type { GroupLimits } from "./group-limits.ts";
import type { ReadRecord } from "./group-record.ts";
import { GroupTable } from "./group-table.ts";
import type { MemberBudget } from "./member-budget.ts";
import type { GroupMutants } from "./mutants.ts";
import { PartitionJournal } from "./partition-journal.ts";
import { replayLog } from "./replay-log.ts";
import type { TopicCatalog } from "./topic-catalog.ts";

export interface PartitionOwnerOptions {
  readonly router: PartitionRouter;
  readonly clock: Clock;
  readonly random: Random;
  readonly deadlines: Deadlines;
  readonly limits: GroupLimits;
  readonly budget: MemberBudget;
  readonly logger: Logger;
  readonly configOf: (groupId: string) => GroupConfig;
  readonly groupCount: () => number;
  readonly isDeleted: (topicId: string) => boolean;
  readonly catalog: TopicCatalog;
  readonly mutants: GroupMutants;
  /** How long reading a partition's groups took. */
  readonly onLoaded: (durationMs: number, records: number) => void;
}

export interface OwnedPartitionOptions extends PartitionOwnerOptions {
  readonly topicId: string;
  readonly partition: number;
  /** From the metadata; it grows with each change of the owner. */
  readonly ownerEpoch: number;
}

const FENCE_TIMEOUT_MS = 5_000;
const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 1_000;

/**
 * One partition of the groups' topic that this node owns (R13): it fences the owners before it, reads the
 * groups up to its own fence, and serves. After an append whose outcome is unknown it does all that again.
 */
export class OwnedPartition {
  readonly #options: OwnedPartitionOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #table: GroupTable | undefined;
  #journal: PartitionJournal | undefined;
  #tableEpoch = -1;
  #loadings = 0;

  constructor(options: OwnedPartitionOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get topicId(): string {
    return this.#options.topicId;
  }

  get ownerEpoch(): number {
    return this.#options.ownerEpoch;
  }

  /** The groups, when they are loaded. */
  get table(): GroupTable | undefined {
    return this.#table;
  }

  /** The owner epoch in the log under which the present groups were loaded. */
  get tableEpoch(): number {
    return this.#tableEpoch;
  }

  /** Where the log has the newest change of these groups; -1 while there is none. */
  get newestOffset(): number {
    return this.#journal?.newestOffset ?? -1;
  }

  /** Whether all that these groups have changed is durable. */
  get isSettled(): boolean {
    return this.#journal?.isIdle === true;
  }

  /** Throws COORDINATOR_LOAD_IN_PROGRESS while the groups are being read. */
  requireTable(): GroupTable {
    if (this.#table !== undefined) return this.#table;
    throw new OttlaError(
      "COORDINATOR_LOAD_IN_PROGRESS",
      `the groups of partition ${this.#options.partition} are being loaded`,
    );
  }

  /** Fails who waits; nothing is written any more. */
  async close(): Promise<void> {
    this.#closing.abort(notOwner());
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, logger, partition } = this.#options;
    const { signal } = this.#closing;
    for (let backoffMs = FIRST_BACKOFF_MS; !signal.aborted; ) {
      try {
        await this.#serveOnce(() => {
          backoffMs = FIRST_BACKOFF_MS;
        });
      } catch (thrown) {
        if (signal.aborted) return;
        const error = toOttlaError(thrown);
        logger.warn({ partition, reason: error.message }, "groups have to be loaded (again)");
      }
      await clock.sleep(backoffMs, signal).catch(() => undefined);
      backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2);
    }
  }

  /** Fences, loads, and serves until an append fails or the partition is closed; throws why. */
  async #serveOnce(onServing: () => void): Promise<void> {
    const { router, clock, logger, mutants, topicId, partition } = this.#options;
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, failed.signal]);
    const startedMs = clock.monotonic();
    const ownerEpoch = this.#options.ownerEpoch * OWNER_LOADINGS + this.#loadings;
    if (!mutants.has("loaded-without-fence")) this.#loadings += 1;
    const endOffset = await this.#fence(ownerEpoch);
    signal.throwIfAborted();
    const journal = new PartitionJournal({
      router,
      clock,
      topicId,
      partition,
      ownerEpoch,
      mutants,
      onFailed: (error) => failed.abort(error),
    });
    const table = new GroupTable({ ...this.#options, journal });
    try {
      const onRecord = (record: ReadRecord): void => {
        if (record.kind !== "offset" || !mutants.has("offsets-forgotten")) table.replay(record);
      };
      const records = await replayLog({
        router,
        clock,
        logger,
        topicId,
        partition,
        endOffset: mutants.has("serves-before-replay") ? 0 : endOffset,
        signal,
        onRecord,
      });
      table.loaded();
      this.#table = table;
      this.#journal = journal;
      this.#tableEpoch = ownerEpoch;
      this.#options.onLoaded(clock.monotonic() - startedMs, records);
      logger.debug({ partition, records, groups: table.size }, "groups are loaded");
      onServing();
      await this.#expireUntil(table, signal);
      signal.throwIfAborted();
    } finally {
      this.#table = undefined;
      this.#journal = undefined;
      const reason = notOwner();
      journal.end(reason);
      table.close(reason);
    }
  }

  /**
   * Answered when it is on the in-sync replicas, so that everything before it is below the high watermark.
   */
  async #fence(ownerEpoch: number): Promise<number> {
    const { router, clock, topicId, partition } = this.#options;
    const { baseOffset } = await router.append({
      topicId,
      partition,
      batch: encodeControlBatch({ type: "owner", ownerEpoch }, { timestampMs: clock.now() }),
      acks: Acks.ALL,
      timeoutMs: FENCE_TIMEOUT_MS,
      validated: true,
      idempotent: false,
      ownerEpoch,
      beginsOwnership: true,
    });
    return baseOffset;
  }

  /** Looks for offsets that have had their time until the signal aborts. */
  async #expireUntil(table: GroupTable, signal: AbortSignal): Promise<void> {
    const { clock, limits, logger, partition } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(limits.offsetsRetentionCheckIntervalMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      await expireOffsets(table, signal).catch((thrown: unknown) => {
        logger.debug({ partition, err: toOttlaError(thrown) }, "could not expire offsets");
      });
    }
  }
}

/** What members are told: they, or the gateway for them, look for the owner again. */
function notOwner(): OttlaError {
  return new OttlaError("NOT_COORDINATOR", "this node does not own the group (any more)");
}
