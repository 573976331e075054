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
  #running: Promise<void> | undefined;

  constructor(options: GroupOffsetsOptions) {
    this.#options = options;
  }

  commit(place: CommittedPlace, signal: AbortSignal): void {
    this.#waiting.set(`${place.topic}/${place.partition}`, place);
    this.#running ??= this.#run(signal).finally(() => {
      this.#running = undefined;
    });
  }

  /** The partition is another member's: its offset is not ours to commit. */
  forget({ topic, partition }: MemberPartition): void {
    this.#waiting.delete(`${topic}/${partition}`);
  }

  /** Resolves when nothing waits to be committed. */
  async flush(): Promise<void> {
    await this.#running;
  }

  /** Where the partitions go on; -1 for those without an offset. */
  async fetch(partitions: readonly MemberPartition[], signal: AbortSignal): Promise<number[]> {
    const { groups, group } = this.#options;
    const places = partitions.map(({ topic, partition }) => ({ topic, partition }));
    const request = { groupId: group, memberEpoch: -1, all: false, partitions: places };
    const { offsets } = await groups.call(group, (owner) => owner.fetchOffsets(request, { signal }), signal);
    return partitions.map((_, index) => Number(offsets[index]?.offset ?? -1n));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (this.#waiting.size > 0 && !signal.aborted) {
      const places = [...this.#waiting.values()];
      this.#waiting.clear();
      const error = await this.#store(places, signal);
      if (error === undefined) {
        this.#options.onCommitted(places);
        continue;
      }
      // The member's epoch may just have changed, or the group's owner: what is still ours goes once more.
      for (const place of places) {
        const key = `${place.topic}/${place.partition}`;
        const isOurs = this.#options.member().has(place.topic, place.partition);
        if (isOurs && !this.#waiting.has(key)) this.#waiting.set(key, place);
      }
      await clock.sleep(RETRY_MS, signal).catch(() => undefined);
    }
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
      const { errors } = await groups.call(group, (owner) => owner.commitOffsets(request, options), signal);
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
