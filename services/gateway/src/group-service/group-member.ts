import { type ErrorCode, type OttlaError, toOttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type { GroupRouter } from "@ottla/routing";
import type { Clock, Logger } from "@ottla/runtime";

export interface GroupMemberOptions {
  readonly groups: GroupRouter;
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly group: string;
  readonly memberId: string;
  readonly instanceId: string;
  readonly client: { readonly clientId: string; readonly clientHost: string };
  readonly topics: readonly string[];
  readonly topicPattern: string;
  readonly assignor: string;
  /** How long the group waits for partitions that are to be given up. */
  readonly rebalanceTimeoutMs: number;
  /** Partitions that the member may have from now on. */
  readonly onAssigned: (partitions: readonly MemberPartition[]) => void;
  /** Partitions to be given up: `giveUp` says when that is done. `lost`: others may have them already. */
  readonly onRevoked: (partitions: readonly MemberPartition[], lost: boolean) => void;
}

export interface MemberPartition {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
}

const JOIN_EPOCH = 0;
const LEAVE_EPOCH = -1;
const LEAVE_FOR_A_WHILE_EPOCH = -2;
const RETRY_MS = 250;
const LEAVE_TIMEOUT_MS = 2_000;
/** After a change more is to come, such as partitions that another member has still to give up: ask soon. */
const EAGER_INTERVAL_MS = 1_000;
/** For so many intervals that the group asks for: by then every other member has heard of the change. */
const EAGER_INTERVALS = 2;

/** A session where the group does not say how long one is. */
const SESSION_TIMEOUT_MS = 45_000;
/** How much longer than a session a member waits for its instance id: deadlines are not exact. */
const SESSION_MARGIN_MS = 1_000;

/** The member is out: it joins again, and what it had may be others' already. */
const OUT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID"]);

/**
 * A member of a group in the place of a client that speaks gRPC: it says that it lives, and tells what it is
 * given and what it has to give up (KIP-848).
 */
export class GroupMember {
  readonly #options: GroupMemberOptions;
  #epoch = JOIN_EPOCH;
  /** It has asked to join, though it may not have heard yet that it has. */
  #mayBeMember = false;
  readonly #owned = new Map<string, MemberPartition>();
  readonly #revoking = new Set<string>();
  /** What it has is to be said anew. */
  #mustSay = true;
  /** The group may have answered what was never heard: who says everything is told everything. */
  #mustSayAll = true;
  /** When it joined, or what it has changed. */
  #changedMs = 0;
  /** Since when its instance id has been another member's. */
  #waitsSinceMs: number | undefined;
  #wake: () => void = () => undefined;

  constructor(options: GroupMemberOptions) {
    this.#options = options;
  }

  get epoch(): number {
    return this.#epoch;
  }

  has(topic: string, partition: number): boolean {
    return this.#owned.has(keyOf({ topic, partition }));
  }

  /** Partitions that were revoked are done with: another member may have them. */
  giveUp(partitions: readonly { readonly topic: string; readonly partition: number }[]): void {
    for (const partition of partitions) {
      const key = keyOf(partition);
      if (!this.#revoking.delete(key)) continue;
      this.#owned.delete(key);
      this.#mustSay = true;
    }
    if (this.#mustSay) this.#wake();
  }

  /** Says that it lives until the signal aborts; throws what a client must know. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      let intervalMs = RETRY_MS;
      try {
        intervalMs = await this.#beat(signal);
      } catch (thrown) {
        const error = toOttlaError(thrown);
        if (signal.aborted) return;
        if (OUT.has(error.code)) this.#lose();
        // Whoever has joined as this member since is the newer one: it is not driven out in turn.
        if (error.metadata["takenOver"] === "true") throw error;
        if (error.code === "UNRELEASED_INSTANCE_ID") this.#waitForInstance(error);
        else if (!error.retriable && !OUT.has(error.code)) throw error;
      }
      if (this.#mustSay && intervalMs !== RETRY_MS) continue;
      await this.#untilDue(clock.sleep(intervalMs, signal));
    }
  }

  /** Leaves at once; a static member may come back for its partitions. */
  async leave(): Promise<void> {
    if (!this.#mayBeMember) return;
    const { groups, group, memberId, instanceId } = this.#options;
    const memberEpoch = instanceId === "" ? LEAVE_EPOCH : LEAVE_FOR_A_WHILE_EPOCH;
    const request = { ...this.#identity(), memberEpoch, rebalanceTimeoutMs: -1, groupId: group, memberId };
    const options = { timeoutMs: LEAVE_TIMEOUT_MS };
    // Who cannot say it is out when its session is over.
    await groups.call(group, (owner) => owner.consumerHeartbeat(request, options)).catch(() => undefined);
  }

  async #beat(signal: AbortSignal): Promise<number> {
    const { groups, clock, group, memberId, topics, topicPattern, assignor, rebalanceTimeoutMs } =
      this.#options;
    const saysAll = this.#mustSayAll || this.#epoch === JOIN_EPOCH;
    const says = this.#mustSay || saysAll;
    const request = {
      ...this.#identity(),
      groupId: group,
      memberId,
      memberEpoch: this.#epoch,
      rebalanceTimeoutMs: saysAll ? rebalanceTimeoutMs : -1,
      ...(saysAll && { subscribedTopics: { names: [...topics] } }),
      ...(saysAll && topicPattern !== "" && { subscribedRegex: topicPattern }),
      ...(saysAll && assignor !== "" && { serverAssignor: assignor }),
      ...(says && { owned: { topics: this.#ownedTopics() } }),
    };
    this.#mustSay = false;
    this.#mustSayAll = false;
    this.#mayBeMember = true;
    try {
      const answer = await groups.call(
        group,
        (owner) => owner.consumerHeartbeat(request, { signal }),
        signal,
      );
      this.#epoch = answer.memberEpoch;
      this.#waitsSinceMs = undefined;
      if (saysAll || answer.assignment !== undefined) this.#changedMs = clock.monotonic();
      if (answer.assignment !== undefined) await this.#take(answer.assignment.topics);
      const { heartbeatIntervalMs } = answer;
      const isEager = clock.monotonic() - this.#changedMs < EAGER_INTERVALS * heartbeatIntervalMs;
      return isEager ? Math.min(EAGER_INTERVAL_MS, heartbeatIntervalMs) : heartbeatIntervalMs;
    } catch (thrown) {
      this.#mustSayAll = true;
      throw thrown;
    }
  }

  async #take(
    topics: readonly { readonly topicId: string; readonly partitions: readonly number[] }[],
  ): Promise<void> {
    const { view } = this.#options;
    if (topics.some(({ topicId }) => view.topicById(topicId) === undefined)) {
      await view.refresh().catch(() => undefined);
    }
    const wanted = new Map<string, MemberPartition>();
    for (const { topicId, partitions } of topics) {
      const topic = view.topicById(topicId)?.name;
      if (topic === undefined) continue;
      for (const partition of partitions) {
        wanted.set(keyOf({ topic, partition }), { topicId, topic, partition });
      }
    }
    const revoked = [...this.#owned].filter(([key]) => !wanted.has(key) && !this.#revoking.has(key));
    for (const [key] of revoked) this.#revoking.add(key);
    const assigned = [...wanted].filter(([key]) => !this.#owned.has(key));
    for (const [key, partition] of assigned) this.#owned.set(key, partition);
    if (assigned.length > 0) this.#mustSay = true;
    if (revoked.length > 0) this.#options.onRevoked(valuesOf(revoked), false);
    if (assigned.length > 0) this.#options.onAssigned(valuesOf(assigned));
  }

  #lose(): void {
    const lost = [...this.#owned.values()];
    this.#owned.clear();
    this.#revoking.clear();
    this.#epoch = JOIN_EPOCH;
    this.#mayBeMember = false;
    if (lost.length > 0) this.#options.onRevoked(lost, true);
  }

  /** Who was lost with its gateway is out after its session; one that is still there then lives. */
  #waitForInstance(error: OttlaError): void {
    const { clock, logger, group, instanceId } = this.#options;
    const nowMs = clock.monotonic();
    if (this.#waitsSinceMs === undefined) {
      this.#waitsSinceMs = nowMs;
      const facts = { group, instanceId, reason: error.message };
      logger.warn(facts, "a member waits for its instance id, for as long as a session lasts");
    }
    const sessionTimeoutMs = Number(error.metadata["sessionTimeoutMs"] ?? SESSION_TIMEOUT_MS);
    if (nowMs - this.#waitsSinceMs >= sessionTimeoutMs + SESSION_MARGIN_MS) throw error;
  }

  #identity() {
    const { client, instanceId } = this.#options;
    return { client, ...(instanceId !== "" && { instanceId }) };
  }

  #ownedTopics() {
    const topics = new Map<string, number[]>();
    if (this.#epoch === JOIN_EPOCH) return [];
    for (const { topicId, partition } of this.#owned.values()) {
      const partitions = topics.get(topicId) ?? [];
      partitions.push(partition);
      topics.set(topicId, partitions);
    }
    return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
  }

  async #untilDue(due: Promise<void>): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await Promise.race([due.catch(() => undefined), woken]);
  }
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}

function valuesOf(entries: readonly (readonly [string, MemberPartition])[]): MemberPartition[] {
  return entries.map(([, partition]) => partition);
}
