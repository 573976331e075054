import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { SegmentedLog } from "@ottla/log";
import type { FollowerUpdate, ReplicaState } from "@ottla/replication";
import type { Clock, Deadlines, Logger, Timer } from "@ottla/runtime";
import { PartitionFollower } from "./partition-follower.ts";
import { type AppendWaiters, PartitionLeader } from "./partition-leader.ts";
import type { FollowedReplica } from "./replication/replica-seams.ts";
import type { ReplicationNode } from "./replication-node.ts";
import { WaitingAppends } from "./waiting-appends.ts";
import type { FetchPurgatoryLimit } from "./waiting-fetches.ts";

export interface ReplicaRolesOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly name: string;
  readonly log: SegmentedLog;
  readonly node: ReplicationNode;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly purgatoryLimit: FetchPurgatoryLimit;
  readonly logger: Logger;
  readonly onFollowerUpdate: (update: FollowerUpdate) => void;
  readonly onReadFailed: (offset: number, error: unknown) => void;
  readonly onLogStartMoved: () => void;
  readonly onLeaderChange: () => void;
  readonly onLeadFailure: (error: OttlaError | undefined) => void;
}

const FIRST_LEAD_AGAIN_MS = 500;
const MAX_LEAD_AGAIN_MS = 30_000;

/** The leader or follower that a replica is in its present term, for gateways, readers and streams. */
export class ReplicaRoles {
  readonly #options: ReplicaRolesOptions;
  readonly #waiters: AppendWaiters;
  #leader: PartitionLeader | undefined;
  #follower: PartitionFollower | undefined;
  /** What is followed on a stream. */
  #followed: FollowedReplica | undefined;
  #leadAgain: Timer | undefined;
  #leadAgainMs = FIRST_LEAD_AGAIN_MS;

  constructor(options: ReplicaRolesOptions) {
    const { deadlines } = options;
    this.#options = options;
    this.#waiters = { forReplicas: new WaitingAppends(deadlines), forLeader: new WaitingAppends(deadlines) };
  }

  get leader(): PartitionLeader | undefined {
    return this.#leader;
  }

  get follower(): PartitionFollower | undefined {
    return this.#follower;
  }

  lead(state: ReplicaState): void {
    const { role } = state;
    if (role.kind !== "leader") return;
    this.leave();
    const { log, onLeaderChange, onLeadFailure, onFollowerUpdate, onReadFailed, onLogStartMoved } =
      this.#options;
    try {
      log.beginLeaderEpoch(role.leader.leaderEpoch);
    } catch (thrown) {
      this.#cannotLead(toOttlaError(thrown), state);
      return;
    }
    this.#leadAgainMs = FIRST_LEAD_AGAIN_MS;
    this.#leader = new PartitionLeader({
      ...this.#options,
      state: role.leader,
      waiters: this.#waiters,
      events: { followerUpdated: onFollowerUpdate, readFailed: onReadFailed, logStartMoved: onLogStartMoved },
    });
    onLeadFailure(undefined);
    onLeaderChange();
  }

  follow(state: ReplicaState, followed: FollowedReplica): void {
    const { role, term } = state;
    if (role.kind !== "follower" || term === undefined) return;
    this.#detachLeader();
    this.#follower?.end();
    const { node, onLeadFailure, onReadFailed } = this.#options;
    this.#follower = new PartitionFollower({
      ...this.#options,
      state: role.follower,
      hasLease: () => node.hasLease,
      onReadFailed,
    });
    onLeadFailure(undefined);
    if (term.leader < 0 || term.leader === node.nodeId) {
      this.#unfollow();
      return;
    }
    this.#followed = followed;
    node.leaderStreams.follow(followed, term.leader, term.leaderNodeEpoch);
  }

  onHighWatermark(): void {
    this.#leader?.onHighWatermark();
    this.#follower?.onHighWatermark();
    this.tellFollowers();
  }

  /** There is more for them, or the watermarks moved. */
  tellFollowers(): void {
    const leader = this.#leader;
    if (leader === undefined || leader.state.term.replicas.length <= 1) return;
    this.#options.node.followerStreams.changed(leader);
  }

  /** All who wait for the leader fail with the reason (R15). */
  endLeading(reason: OttlaError): void {
    this.#leader?.end(reason);
    this.#detachLeader();
  }

  /** Neither leads nor follows any more. */
  leave(): void {
    this.#detachLeader();
    this.#follower?.end();
    this.#follower = undefined;
    this.#unfollow();
  }

  close(): void {
    this.leave();
    this.#options.onLeadFailure(undefined);
  }

  #unfollow(): void {
    const followed = this.#followed;
    this.#followed = undefined;
    if (followed !== undefined) this.#options.node.leaderStreams.unfollow(followed);
  }

  #detachLeader(): void {
    this.#leadAgain?.cancel();
    this.#leadAgain = undefined;
    const leader = this.#leader;
    if (leader === undefined) return;
    this.#leader = undefined;
    this.#options.node.followerStreams.ended(leader);
    this.#options.onLeaderChange();
  }

  /**
   * The log knows a later epoch than the metadata (a restored backup), which must not be led in an epoch
   * that repeats; or it takes nothing just now. Later the metadata, or the log, may be another.
   */
  #cannotLead(error: OttlaError, state: ReplicaState): void {
    const { clock, onLeadFailure } = this.#options;
    onLeadFailure(error);
    const delayMs = this.#leadAgainMs;
    this.#leadAgainMs = Math.min(MAX_LEAD_AGAIN_MS, delayMs * 2);
    this.#leadAgain = clock.setTimer(delayMs, () => this.lead(state), { background: true });
  }
}
