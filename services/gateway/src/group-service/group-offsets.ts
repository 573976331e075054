import { type OttlaError, toOttlaError } from "@ottla/errors";
import { fromErrorMessage, type GroupRouter } from "@ottla/routing";
import { traceMetadata } from "@ottla/rpc";
import type { Clock, Tracer } from "@ottla/runtime";
import type { GroupMember, MemberPartition } from "./group-member.ts";

export interface GroupOffsetsOptions {
  readonly groups: GroupRouter;
  readonly clock: Clock;
  readonly tracer: Tracer | undefined;
  readonly group: string;
  readonly memberId: string;
  readonly member: () => GroupMember;
  readonly onCommitted: (offsets: readonly CommittedPlace[]) => void;
}

export interface CommittedPlace extends MemberPartition {
  readonly nextOffset: number;
}

const RETRY_MS = 100;

/**
 * Commits what a member acknowledges: one commit under way, and what comes meanwhile is the next. The newest
 * offset of a partition stands for all before it.
 */
export class GroupOffsets {
  readonly #options: GroupOffsetsOptions;
  readonly #waiting = new Map<string, CommittedPlace>();
  /** Of the commit that is under way. */
  #storing = new Set<string>();
  #isRunning = false;
  /** Ends with each commit. */
  #round = Promise.withResolvers<void>();

  constructor(options: GroupOffsetsOptions) {
    this.#options = options;
  }

  commit(place: CommittedPlace, signal: AbortSignal): void {
    this.#waiting.set(keyOf(place), place);
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#run(signal);
  }

  /** The partition is another member's: its offset is not ours to commit. */
  forget({ topic, partition }: MemberPartition): void {
    this.#waiting.delete(keyOf({ topic, partition }));
  }

  /**
   * Resolves when nothing of the partition, or of any, waits to be committed: what others acknowledge
   * meanwhile does not hold it up.
   */
  async flush(place?: MemberPartition): Promise<void> {
    const isBusy = (): boolean => {
      if (place === undefined) return this.#waiting.size > 0 || this.#storing.size > 0;
      return this.#waiting.has(keyOf(place)) || this.#storing.has(keyOf(place));
    };
    while (this.#isRunning && isBusy()) await this.#round.promise;
  }

  /** Where the partitions go on; -1 for those without an offset. */
  async fetch(partitions: readonly MemberPartition[], signal: AbortSignal): Promise<number[]> {
    const { groups, group } = this.#options;
    const places = partitions.map(({ topic, partition }) => ({ topic, partition }));
    const request = { groupId: group, memberEpoch: -1, all: false, partitions: places };
    const { offsets } = await groups.call(group, (owner) => owner.fetchOffsets(request, { signal }), signal);
    return partitions.map(({ topicId }, index) => {
      const committed = offsets[index];
      // One of a deleted topic says nothing about its successor under the same name.
      const isOfOther = committed !== undefined && committed.topicId !== "" && committed.topicId !== topicId;
      return committed === undefined || isOfOther ? -1 : Number(committed.offset);
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (this.#waiting.size > 0 && !signal.aborted) {
      const places = [...this.#waiting.values()];
      this.#storing = new Set(this.#waiting.keys());
      this.#waiting.clear();
      const error = await this.#store(places, signal);
      this.#storing.clear();
      if (error === undefined) this.#options.onCommitted(places);
      else {
        this.#retry(places);
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
      this.#endRound();
    }
    this.#isRunning = false;
    this.#endRound();
  }

  /** The member's epoch may just have changed, or the group's owner: what is still ours goes once more. */
  #retry(places: readonly CommittedPlace[]): void {
    for (const place of places) {
      const isOurs = this.#options.member().has(place.topic, place.partition);
      if (isOurs && !this.#waiting.has(keyOf(place))) this.#waiting.set(keyOf(place), place);
    }
  }

  #endRound(): void {
    this.#round.resolve();
    this.#round = Promise.withResolvers<void>();
  }

  async #store(places: readonly CommittedPlace[], signal: AbortSignal): Promise<OttlaError | undefined> {
    const { groups, group, memberId, member, tracer } = this.#options;
    const offsets = places.map(({ topic, topicId, partition, nextOffset }) => ({
      topic,
      topicId,
      partition,
      offset: BigInt(nextOffset),
      leaderEpoch: -1,
      metadata: "",
    }));
    const generationOrEpoch = member().epoch;
    const request = { groupId: group, memberId, generationOrEpoch, retentionMs: -1n, offsets };
    const span = tracer?.serve("ottla.v1.GroupService/Consume commit", undefined, {
      "messaging.system": "ottla",
      "messaging.operation.type": "settle",
      "messaging.consumer.group.name": group,
    });
    const options = { signal, ...traceMetadata(span) };
    try {
      const { errors } = await groups.commitOffsets(request, options);
      span?.end();
      const failed = errors.find(({ reason }) => reason !== "");
      // What is wrong with one offset does not get better: the others are stored.
      return failed?.retriable === true ? fromErrorMessage(failed) : undefined;
    } catch (thrown) {
      const error = toOttlaError(thrown);
      span?.end(error.code);
      return error;
    }
  }
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}
