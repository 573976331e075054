import { invalidRequest, type OttlaError, toOttlaError } from "@ottla/errors";
import type { ConsumeRequest, PartitionOffset } from "@ottla/proto/ottla/v1/group";
import type { Timer } from "@ottla/runtime";
import { ByteBudget } from "../byte-budget.ts";
import { checkOffset } from "../checks.ts";
import type { ConsumeOptions, ConsumeStream } from "./consume.ts";
import { GroupMember, type MemberPartition } from "./group-member.ts";
import { GroupOffsets } from "./group-offsets.ts";
import { PartitionFeed } from "./partition-feed.ts";
import type { Subscription } from "./subscription.ts";

export interface ConsumeSessionOptions extends ConsumeOptions {
  readonly subscription: Subscription;
  readonly stream: ConsumeStream;
  readonly peer: string;
  /** Aborts when the client is gone, or the gateway stops. */
  readonly signal: AbortSignal;
}

/** How much longer than a client's grace the group waits for partitions. */
const GRACE_MARGIN_MS = 10_000;
/** What all partitions of a session may have fetched and not sent. */
const FETCH_AHEAD_BYTES = 8 * 1024 * 1024;
/** How long what was acknowledged may take to be stored when the client leaves. */
const LAST_COMMIT_MS = 5_000;
/** Partitions whose starts are known within so long are told together. */
const START_TOGETHER_MS = 200;
const MIN_FETCH_BYTES = 16 * 1024;

/** One client that consumes in a group: its membership, its partitions, its acknowledgements. */
export class ConsumeSession {
  readonly #options: ConsumeSessionOptions;
  readonly #feeds = new Map<string, PartitionFeed>();
  /** Assigned, and where they start is not known yet. */
  readonly #coming = new Map<string, PartitionFeed>();
  /** Revoked, and not given up yet: until when their acknowledgements count. */
  readonly #revoked = new Map<string, Timer>();
  readonly #unacknowledged: ByteBudget;
  readonly #member: GroupMember;
  readonly #offsets: GroupOffsets;
  readonly #ending = new AbortController();
  /** Commits go on while the session ends. */
  readonly #closing = new AbortController();
  readonly #memberId: string;
  #failure: OttlaError | undefined;

  constructor(options: ConsumeSessionOptions) {
    const { subscription, random, groups, clock, tracer } = options;
    this.#options = options;
    this.#unacknowledged = new ByteBudget(subscription.maxUnacknowledgedBytes);
    this.#memberId = subscription.memberId === "" ? random.uuid() : subscription.memberId;
    this.#member = new GroupMember({
      ...options,
      ...subscription,
      memberId: this.#memberId,
      client: { clientId: "ottla-grpc", clientHost: `/${options.peer}` },
      rebalanceTimeoutMs: subscription.graceMs + GRACE_MARGIN_MS,
      onAssigned: (partitions) => void this.#begin(partitions).catch((thrown) => this.#fail(thrown)),
      onRevoked: (partitions, lost) => this.#end(partitions, lost),
    });
    this.#offsets = new GroupOffsets({
      groups,
      clock,
      tracer,
      group: subscription.group,
      memberId: this.#memberId,
      member: () => this.#member,
      onCommitted: (places) => {
        const offsets = places.map(({ topic, partition, nextOffset }) => ({
          topic,
          partition,
          nextOffset: BigInt(nextOffset),
        }));
        options.stream.send({ event: { case: "committed", value: { offsets } } });
      },
    });
  }

  /** Resolves when the client has left; throws what it has to know. */
  async run(requests: AsyncIterable<ConsumeRequest>): Promise<void> {
    const ended = AbortSignal.any([this.#options.signal, this.#ending.signal]);
    const membership = this.#member.run(ended).catch((thrown: unknown) => this.#fail(thrown));
    try {
      await Promise.race([this.#listen(requests), untilAborted(ended)]);
    } catch (thrown) {
      this.#failure ??= toOttlaError(thrown);
    } finally {
      this.#ending.abort();
      await membership;
      await this.#leave();
    }
    if (this.#failure !== undefined && !this.#options.signal.aborted) throw this.#failure;
  }

  async #listen(requests: AsyncIterable<ConsumeRequest>): Promise<void> {
    for await (const { request } of requests) {
      if (request.case === "acknowledge") {
        for (const offset of request.value.offsets) this.#acknowledge(offset);
      } else if (request.case === "release") {
        // Others stay: a release may be late, and its partition assigned anew.
        const revoked = request.value.partitions.map(keyOf).filter((key) => this.#revoked.has(key));
        for (const key of revoked) this.#release(key);
      } else if (request.case === "subscribe") {
        throw invalidRequest(
          "subscribe",
          "comes first, and once: another subscription needs a stream of its own",
        );
      }
    }
  }

  async #leave(): Promise<void> {
    for (const feed of this.#feeds.values()) feed.stop();
    for (const timer of this.#revoked.values()) timer.cancel();
    // A member that is out of its group already could try for ever.
    const late = this.#options.clock.setTimer(LAST_COMMIT_MS, () => this.#closing.abort());
    await this.#offsets.flush();
    late.cancel();
    await this.#member.leave();
    this.#closing.abort();
  }

  /** A partition whose start cannot be told now, for want of a leader, does not keep the others waiting. */
  async #begin(partitions: readonly MemberPartition[]): Promise<void> {
    const { signal } = this.#ending;
    const share = Math.floor(FETCH_AHEAD_BYTES / (this.#feeds.size + partitions.length));
    const feeds = partitions.map((place) => this.#feedOf(place, share));
    for (const feed of feeds) this.#coming.set(keyOf(feed.place), feed);
    const committed = await this.#committed(partitions, signal);
    let ready: PartitionFeed[] = [];
    let isLate = false;
    const start = (): void => {
      this.#start(ready);
      ready = [];
    };
    const late = this.#options.clock.setTimer(START_TOGETHER_MS, () => {
      isLate = true;
      start();
    });
    try {
      await Promise.all(
        feeds.map(async (feed, index) => {
          if (!(await feed.seek(committed[index] ?? -1, signal))) return;
          ready.push(feed);
          if (isLate) start();
        }),
      );
    } finally {
      late.cancel();
    }
    start();
  }

  #feedOf(place: MemberPartition, share: number): PartitionFeed {
    const { subscription, stream, clock, router, metrics, tracer } = this.#options;
    return new PartitionFeed({
      place,
      router,
      clock,
      tracer,
      ...subscription,
      maxBytes: Math.max(MIN_FETCH_BYTES, Math.min(subscription.maxBytes, share)),
      unacknowledged: this.#unacknowledged,
      send: async (value) => {
        if (!stream.send({ event: { case: "records", value } })) await stream.drained();
      },
      onSent: (sizeBytes) => metrics.countFetched(place.topic, sizeBytes),
    });
  }

  /** Tells the client of partitions and sends their records. What was taken away meanwhile never begins. */
  #start(feeds: readonly PartitionFeed[]): void {
    const present = feeds.filter((feed) => this.#coming.get(keyOf(feed.place)) === feed);
    if (present.length === 0) return;
    const partitions = present.map(({ place: { topic, partition }, offset }) => ({
      topic,
      partition,
      nextOffset: BigInt(offset),
    }));
    const value = { partitions, memberId: this.#memberId };
    this.#options.stream.send({ event: { case: "assigned", value } });
    for (const feed of present) {
      const key = keyOf(feed.place);
      this.#coming.delete(key);
      this.#feeds.set(key, feed);
      void feed.run(this.#ending.signal).catch((thrown: unknown) => this.#fail(thrown));
    }
  }

  /** Where the partitions go on: asked for until the group's owner answers. */
  async #committed(partitions: readonly MemberPartition[], signal: AbortSignal): Promise<number[]> {
    for (;;) {
      try {
        return await this.#offsets.fetch(partitions, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        if (!isRetriable(thrown)) throw thrown;
      }
    }
  }

  #end(partitions: readonly MemberPartition[], lost: boolean): void {
    const { subscription, stream, clock } = this.#options;
    const { graceMs } = subscription;
    const places = partitions.map(({ topic, partition }) => ({ topic, partition }));
    stream.send({
      event: { case: "revoked", value: { partitions: places, graceMs: lost ? 0 : graceMs, lost } },
    });
    for (const place of partitions) {
      const key = keyOf(place);
      const feed = this.#feeds.get(key);
      feed?.stop();
      this.#coming.get(key)?.stop();
      this.#coming.delete(key);
      if (lost) {
        this.#offsets.forget(place);
        this.#drop(key);
      } else if (feed === undefined || feed.isDone) {
        this.#release(key);
        if (feed === undefined) this.#member.giveUp([place]);
      } else {
        this.#revoked.set(
          key,
          clock.setTimer(graceMs, () => this.#release(key)),
        );
      }
    }
  }

  #acknowledge({ topic, partition, nextOffset }: PartitionOffset): void {
    const key = keyOf({ topic, partition });
    const feed = this.#feeds.get(key);
    // Of a partition that was lost: another member goes on from what was committed.
    if (feed === undefined) return;
    const offset = checkOffset("acknowledge.next_offset", nextOffset);
    if (!feed.acknowledge(offset)) return;
    this.#offsets.commit({ ...feed.place, nextOffset: offset }, this.#closing.signal);
    if (feed.isDone && this.#revoked.has(key)) this.#release(key);
  }

  /** Gives a revoked partition up when what was acknowledged of it is stored. */
  #release(key: string): void {
    const feed = this.#feeds.get(key);
    if (feed === undefined) return;
    this.#drop(key);
    void this.#offsets.flush(feed.place).then(() => this.#member.giveUp([feed.place]));
  }

  #drop(key: string): void {
    this.#feeds.get(key)?.forget();
    this.#feeds.delete(key);
    this.#revoked.get(key)?.cancel();
    this.#revoked.delete(key);
  }

  #fail(thrown: unknown): void {
    if (this.#ending.signal.aborted) return;
    this.#failure = toOttlaError(thrown);
    this.#ending.abort();
  }
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}

function isRetriable(thrown: unknown): boolean {
  return toOttlaError(thrown).retriable;
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
