import type { FollowerUpdate } from "@ottla/replication";
import type { Transport } from "@ottla/rpc";
import { type Clock, LimitedLogger, type Logger, type Random } from "@ottla/runtime";
import { CatchUpThrottle } from "./catch-up-throttle.ts";
import { LeaderLink, type ReceivingLimits } from "./leader-link.ts";
import type { FollowedReplica, LeaderStreams } from "./replica-seams.ts";
import type { ReplicationMetrics } from "./replication-metrics.ts";

const MEBIBYTE = 1024 * 1024;

export interface ReplicationClientOptions {
  readonly nodeId: number;
  /** This node's registration; negative while there is none. */
  readonly nodeEpoch: () => number;
  readonly clusterId: string;
  /** A connection of its own to a storage node; throws where it cannot be reached now. */
  readonly transportFor: (nodeId: number) => Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: ReplicationMetrics;
  readonly limits: Partial<ReceivingLimits> & {
    /** For all replicas of this node that are outside their ISR. */
    readonly catchUpBytesPerSecond: number;
  };
}

const DEFAULT_LIMITS: ReceivingLimits = {
  windowBytes: 16 * MEBIBYTE,
  catchUpWindowBytes: 8 * MEBIBYTE,
  helloTimeoutMs: 10_000,
  minReconnectDelayMs: 50,
  maxReconnectDelayMs: 2_000,
};

/**
 * The follower's side of replication: one stream to each node that leads partitions of which this node has
 * replicas. Streams are opened when there is something to follow, and again when they break.
 */
export class ReplicationClient implements LeaderStreams {
  readonly #options: ReplicationClientOptions;
  readonly #limits: ReceivingLimits;
  readonly #throttle: CatchUpThrottle;
  readonly #troubles: LimitedLogger;
  readonly #links = new Map<number, LeaderLink>();
  readonly #followed = new Map<FollowedReplica, number>();
  #closed = false;

  constructor(options: ReplicationClientOptions) {
    this.#options = options;
    const { clock, limits, logger } = options;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#throttle = new CatchUpThrottle({ bytesPerSecond: limits.catchUpBytesPerSecond, clock });
    this.#troubles = new LimitedLogger({ logger, clock });
  }

  follow(replica: FollowedReplica, leaderNodeId: number, leaderNodeEpoch: number): void {
    if (this.#closed) return;
    const before = this.#followed.get(replica);
    if (before !== undefined && before !== leaderNodeId) this.unfollow(replica);
    this.#followed.set(replica, leaderNodeId);
    this.#linkTo(leaderNodeId).join(replica, leaderNodeEpoch);
  }

  unfollow(replica: FollowedReplica): void {
    const leaderNodeId = this.#followed.get(replica);
    if (leaderNodeId === undefined) return;
    this.#followed.delete(replica);
    const link = this.#links.get(leaderNodeId);
    link?.leave(replica);
    if (link?.isIdle === true) this.#options.clock.nextTurn(() => this.#dropIdle(leaderNodeId, link));
  }

  termChanged(replica: FollowedReplica): void {
    this.#linkOf(replica)?.termChanged(replica);
  }

  sendUpdate(replica: FollowedReplica, update: FollowerUpdate): void {
    this.#linkOf(replica)?.sendUpdate(replica, update);
  }

  /** This node has registered (again): its streams begin anew, as those of the new registration (R2). */
  restart(): void {
    for (const link of this.#links.values()) link.restart();
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#followed.clear();
    this.#troubles.close();
  }

  #linkOf(replica: FollowedReplica): LeaderLink | undefined {
    const leaderNodeId = this.#followed.get(replica);
    return leaderNodeId === undefined ? undefined : this.#links.get(leaderNodeId);
  }

  #linkTo(leaderNodeId: number): LeaderLink {
    const known = this.#links.get(leaderNodeId);
    if (known !== undefined) return known;
    const { clock, clusterId, logger, metrics, nodeEpoch, nodeId, random, transportFor } = this.#options;
    const link = new LeaderLink({
      clusterId,
      nodeId,
      nodeEpoch,
      leaderNodeId,
      transportFor,
      throttle: this.#throttle,
      limits: this.#limits,
      clock,
      random,
      logger,
      troubles: this.#troubles,
      metrics,
    });
    this.#links.set(leaderNodeId, link);
    return link;
  }

  /** In the same turn another partition may have begun to follow that node. */
  #dropIdle(leaderNodeId: number, link: LeaderLink): void {
    if (!link.isIdle || this.#links.get(leaderNodeId) !== link) return;
    link.close();
    this.#links.delete(leaderNodeId);
  }
}
