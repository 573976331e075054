import { OttlaError, toOttlaError } from "@ottla/errors";
import { fetch } from "@ottla/kafka-protocol";
import { type FetchOptions, type FetchOutcome, mayRetryRead } from "@ottla/routing";
import type { Topic } from "../topics.ts";
import type { FetchTarget } from "./fetch-session.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import {
  askInParts,
  hasPartition,
  type KafkaServices,
  knownTopic,
  knownTopicId,
  lookUp,
} from "./kafka-services.ts";
import { checkLeaderEpoch } from "./leader-epochs.ts";

export interface FetchLimits {
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly maxWaitMs: number;
  readonly usesTopicIds: boolean;
  readonly signal: AbortSignal;
  /** Ends the wait, not the fetch. */
  readonly hurry: AbortSignal;
  readonly traceparent: string | undefined;
}

/** What one partition gave. */
export interface FetchedPartition {
  readonly target: FetchTarget;
  readonly topicName: string;
  errorCode: number;
  highWatermark: number;
  lastStableOffset: number;
  logStartOffset: number;
  chunks: Uint8Array[];
  sizeBytes: number;
}

interface OpenPartition extends FetchedPartition {
  readonly topicId: string;
  nextOffset: number;
}

/**
 * A fetch that only waits reads this much of what arrives: what is beyond it is read
 * afterwards, within the grant.
 */
const WAKE_BYTES = 64 * 1024;

/** So many of a connection's partitions wait at storage nodes at once, so that others find room there. */
const MAX_WAITING_PARTITIONS = 1_000;

/**
 * Fetches many partitions into one bounded answer: first a pass that does not wait; when
 * it brought less than asked, all partitions are waited for together, without polling,
 * until there is enough, one fails, or the time is up.
 */
export class FetchRun {
  readonly #services: KafkaServices;
  readonly #limits: FetchLimits;
  readonly #deadlineMs: number;
  #sizeBytes = 0;
  #hasFailed = false;
  #grantedBytes = 0;

  constructor(services: KafkaServices, limits: FetchLimits) {
    this.#services = services;
    this.#limits = limits;
    this.#deadlineMs = services.clock.monotonic() + limits.maxWaitMs;
  }

  /** Bytes of the gateway's fetch budget that this run holds; whoever sends the answer gives them back. */
  get grantedBytes(): number {
    return this.#grantedBytes;
  }

  async fetch(targets: readonly FetchTarget[]): Promise<FetchedPartition[]> {
    const partitions = await this.#resolve(targets);
    const open = partitions.filter((partition) => "topicId" in partition);
    await this.#read(open);
    if (!this.#isEnough()) {
      // Nothing is held while nothing is read.
      if (this.#sizeBytes === 0) this.#release();
      const isTruncated = await this.#waitFor(open);
      if (isTruncated) await this.#read(open.filter(hasMore));
    }
    await this.#describeUnread(open.filter(isUnread));
    return partitions;
  }

  #isEnough(): boolean {
    return this.#hasFailed || this.#sizeBytes >= this.#limits.minBytes || this.#remainingMs() <= 0;
  }

  #remainingMs(): number {
    return Math.ceil(this.#deadlineMs - this.#services.clock.monotonic());
  }

  #release(): void {
    this.#services.fetchBudget.give(this.#grantedBytes);
    this.#grantedBytes = 0;
  }

  async #resolve(targets: readonly FetchTarget[]): Promise<(FetchedPartition | OpenPartition)[]> {
    const { topics } = this.#services;
    const { usesTopicIds } = this.#limits;
    const find = ({ topic: name, partition }: FetchTarget): Topic | undefined => {
      const topic = usesTopicIds ? knownTopicId(this.#services, name) : knownTopic(topics, name);
      return topic !== undefined && hasPartition(topic, partition) ? topic : undefined;
    };
    const found = await lookUp(topics, targets, find);
    const resolved: (FetchedPartition | OpenPartition)[] = [];
    for (const [index, target] of targets.entries()) {
      const topic = found[index];
      const failure = topic === undefined ? this.#unknown(target) : await this.#checkEpoch(topic, target);
      const empty = emptyPartition(target, topic?.name ?? "", failure?.errorCode ?? NO_ERROR);
      if (failure !== undefined) this.#hasFailed = true;
      if (failure !== undefined || topic === undefined) resolved.push(empty);
      else resolved.push({ ...empty, topicId: topic.topicId, nextOffset: boundedOffset(target.fetchOffset) });
    }
    return resolved;
  }

  #unknown(target: FetchTarget): KafkaFailure {
    const isUnknownId = this.#limits.usesTopicIds && knownTopicId(this.#services, target.topic) === undefined;
    const error = new OttlaError(
      isUnknownId ? "UNKNOWN_TOPIC_ID" : "UNKNOWN_TOPIC_OR_PARTITION",
      "no such partition",
    );
    return this.#services.failures.ofRead(error, fetch.name);
  }

  async #checkEpoch(
    topic: Topic,
    { partition, currentLeaderEpoch }: FetchTarget,
  ): Promise<KafkaFailure | undefined> {
    if (currentLeaderEpoch < 0) return undefined;
    return checkLeaderEpoch(this.#services, topic.topicId, partition, currentLeaderEpoch);
  }

  /** Reads without waiting, in waves that fit into what is left of the answer. */
  async #read(partitions: readonly OpenPartition[]): Promise<void> {
    if (this.#grantedBytes === 0) {
      const wantedBytes = partitions.reduce((sum, { target }) => sum + positive(target.maxBytes), 0);
      this.#grantedBytes = this.#services.fetchBudget.grant(Math.min(this.#limits.maxBytes, wantedBytes));
    }
    let next = 0;
    while (next < partitions.length && this.#sizeBytes < this.#grantedBytes) {
      const wave: Promise<FetchOutcome | OttlaError>[] = [];
      const first = next;
      let leftBytes = this.#grantedBytes - this.#sizeBytes;
      for (; next < partitions.length && leftBytes > 0; next++) {
        const partition = partitions[next] as OpenPartition;
        const maxBytes = Math.min(positive(partition.target.maxBytes - partition.sizeBytes), leftBytes);
        leftBytes -= maxBytes;
        const terms = { maxBytes, minBytes: 0, maxWaitMs: 0, retryMs: 0 };
        wave.push(this.#ask(partition, terms, this.#limits.signal));
      }
      const outcomes = await Promise.all(wave);
      outcomes.forEach((outcome, index) => this.#take(partitions[first + index] as OpenPartition, outcome));
    }
  }

  /** The answer was full before their turn came: their leaders are only asked where they begin and end. */
  async #describeUnread(unread: readonly OpenPartition[]): Promise<void> {
    const { router } = this.#services;
    const led = unread.filter((partition) => {
      if (this.#hasLeader(partition)) return true;
      this.#take(partition, noLeader());
      return false;
    });
    const refs = led.map(({ topicId, target }) => ({ topicId, partition: target.partition }));
    const described = await askInParts(refs, (part) =>
      router
        .describePartitions(part, this.#limits.signal)
        .catch((thrown: unknown) => part.map(() => toOttlaError(thrown))),
    );
    described.forEach((description, index) => {
      const partition = led[index] as OpenPartition;
      if (description instanceof OttlaError) return this.#take(partition, description);
      const { offsets } = description;
      if (offsets === undefined) return;
      const { nextOffset } = partition;
      if (nextOffset < Number(offsets.logStartOffset) || nextOffset > Number(offsets.logEndOffset)) {
        const message = `offset ${nextOffset} is not within the partition's log`;
        return this.#take(partition, new OttlaError("OFFSET_OUT_OF_RANGE", message));
      }
      partition.highWatermark = Number(offsets.highWatermark);
      partition.lastStableOffset = partition.highWatermark;
      partition.logStartOffset = Number(offsets.logStartOffset);
    });
  }

  #hasLeader({ topicId, target }: OpenPartition): boolean {
    const placement = this.#services.view.partition(topicId, target.partition);
    return placement === undefined || placement.leader >= 0;
  }

  /** Waits until there is enough. Returns whether what came was cut at `WAKE_BYTES`. */
  async #waitFor(partitions: readonly OpenPartition[]): Promise<boolean> {
    const { minBytes } = this.#limits;
    const throttled = new Set<OpenPartition>();
    while (!this.#isEnough() && !this.#limits.hurry.aborted) {
      // Of many more, the rest is looked at with the client's next fetch too.
      const waiting = partitions
        .filter((partition) => !throttled.has(partition))
        .slice(0, MAX_WAITING_PARTITIONS);
      if (waiting.length === 0) {
        await this.#services.clock.sleep(this.#remainingMs(), this.#limits.hurry).catch(() => undefined);
        break;
      }
      const neededBytes = waiting.length === 1 ? minBytes - this.#sizeBytes : 1;
      for (const [partition, outcome] of await this.#race(waiting, neededBytes)) {
        // Too many wait at the storage node: this one is looked at again with the client's next fetch.
        if (outcome instanceof OttlaError && outcome.code === "THROTTLING_QUOTA_EXCEEDED")
          throttled.add(partition);
        else this.#take(partition, outcome);
      }
    }
    return partitions.some(hasMore);
  }

  /** Waits for the first of the partitions that has something, and calls the others back. */
  async #race(
    partitions: readonly OpenPartition[],
    minBytes: number,
  ): Promise<[OpenPartition, FetchOutcome | OttlaError][]> {
    const { hurry } = this.#limits;
    const others = new AbortController();
    const abort = (): void => others.abort();
    hurry.addEventListener("abort", abort, { once: true });
    const maxWaitMs = this.#remainingMs();
    try {
      const answers = await Promise.all(
        partitions.map(async (partition) => {
          const maxBytes = Math.min(positive(partition.target.maxBytes), Math.max(WAKE_BYTES, minBytes));
          const terms = { maxBytes, minBytes, maxWaitMs, retryMs: maxWaitMs };
          const outcome = await this.#ask(partition, terms, others.signal);
          const isThrottled = outcome instanceof OttlaError && outcome.code === "THROTTLING_QUOTA_EXCEEDED";
          const isNothing = !(outcome instanceof OttlaError) && outcome.sizeBytes === 0;
          if (!isThrottled && !isNothing) abort();
          return [partition, outcome] as [OpenPartition, FetchOutcome | OttlaError];
        }),
      );
      return answers.filter(
        ([, outcome]) => !(outcome instanceof OttlaError && outcome.code === "CANCELLED"),
      );
    } finally {
      hurry.removeEventListener("abort", abort);
    }
  }

  async #ask(
    partition: OpenPartition,
    terms: Pick<FetchOptions, "maxBytes" | "minBytes" | "maxWaitMs" | "retryMs">,
    signal: AbortSignal,
  ): Promise<FetchOutcome | OttlaError> {
    const { topicId, target, nextOffset } = partition;
    const { traceparent } = this.#limits;
    const query = { topicId, partition: target.partition, offset: nextOffset, ...terms, signal, traceparent };
    try {
      return await this.#services.router.fetch(query);
    } catch (thrown) {
      return toOttlaError(thrown);
    }
  }

  #take(partition: OpenPartition, outcome: FetchOutcome | OttlaError): void {
    if (outcome instanceof OttlaError) {
      if (outcome.code === "CANCELLED") return;
      // A partition whose leader changes has nothing to say yet: it is waited for like one without records.
      if (!this.#isPassing(partition, outcome)) this.#hasFailed = true;
      // Records that came before the error are good: the client meets the error with its next fetch.
      if (partition.sizeBytes === 0) partition.errorCode = this.#failureCode(outcome);
      return;
    }
    partition.errorCode = NO_ERROR;
    partition.highWatermark = outcome.highWatermark;
    partition.lastStableOffset = outcome.lastStableOffset;
    partition.logStartOffset = outcome.logStartOffset;
    // KIP-74: the first batch of the answer comes whatever its size, any other only where it fits.
    if (this.#sizeBytes > 0 && this.#sizeBytes + outcome.sizeBytes > this.#limits.maxBytes) return;
    for (const chunk of outcome.chunks) partition.chunks.push(chunk);
    partition.sizeBytes += outcome.sizeBytes;
    partition.nextOffset = outcome.nextOffset;
    this.#sizeBytes += outcome.sizeBytes;
  }

  #isPassing({ topicId, target }: OpenPartition, error: OttlaError): boolean {
    return mayRetryRead(error, this.#services.view.partition(topicId, target.partition)?.replicas.length);
  }

  #failureCode(error: OttlaError): number {
    return this.#services.failures.ofRead(error, fetch.name).errorCode;
  }
}

function emptyPartition(target: FetchTarget, topicName: string, errorCode: number): FetchedPartition {
  return {
    target,
    topicName,
    errorCode,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    chunks: [],
    sizeBytes: 0,
  };
}

function isUnread({ errorCode, highWatermark }: FetchedPartition): boolean {
  return errorCode === NO_ERROR && highWatermark < 0;
}

function noLeader(): OttlaError {
  return new OttlaError("LEADER_NOT_AVAILABLE", "the partition has no leader");
}

/** Something was read while waiting, and more of it is visible. */
function hasMore(partition: OpenPartition): boolean {
  const wantedBytes = positive(partition.target.maxBytes);
  return (
    partition.sizeBytes > 0 &&
    partition.sizeBytes < wantedBytes &&
    partition.nextOffset < partition.highWatermark
  );
}

function positive(sizeBytes: number): number {
  return Math.max(1, sizeBytes);
}

/** Offsets of the wire reach further than ours; the leader refuses what is out of its range. */
function boundedOffset(offset: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(-1, offset));
}
