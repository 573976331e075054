import { type OttlaError, toOttlaError } from "@ottla/errors";
import { ReplicationService } from "@ottla/proto/ottla/internal/v1/replication";
import type { FollowerUpdate } from "@ottla/replication";
import { createClient, type Transport } from "@ottla/rpc";
import type { Clock, LimitedLogger, Logger, Random, Timer } from "@ottla/runtime";
import type { CatchUpThrottle } from "./catch-up-throttle.ts";
import { FollowerSession } from "./follower-session.ts";
import { ReceiveWindow } from "./receive-window.ts";
import type { FollowedReplica } from "./replica-seams.ts";
import type { ReplicationMetrics } from "./replication-metrics.ts";

export interface ReceivingLimits {
  /** What the node of a leader may have on its way here, or waiting here for the disk. */
  readonly windowBytes: number;
  /** The same for replicas that catch up. */
  readonly catchUpWindowBytes: number;
  /** A node that has not said its hello by then is asked anew. */
  readonly helloTimeoutMs: number;
  readonly minReconnectDelayMs: number;
  readonly maxReconnectDelayMs: number;
}

export interface LeaderLinkOptions {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly nodeEpoch: () => number;
  readonly leaderNodeId: number;
  /** A connection of its own; throws where the node cannot be reached now. */
  readonly transportFor: (leaderNodeId: number) => Transport;
  readonly throttle: CatchUpThrottle;
  readonly limits: ReceivingLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly troubles: LimitedLogger;
  readonly metrics: ReplicationMetrics;
}

/** A stream that stood for so long has shown that the next attempt need not be put off. */
const PROVEN_MS = 1_000;

/** All that this node follows of one other node, and the stream to it while there is anything. */
export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #replicas = new Set<FollowedReplica>();
  readonly #inSync: ReceiveWindow;
  readonly #catchingUp: ReceiveWindow;
  #leaderNodeEpoch = -1;
  #session: FollowerSession | undefined;
  #transport: Transport | undefined;
  #stoodSinceMs: number | undefined;
  #attempts = 0;
  #timer: Timer | undefined;

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
    const { catchUpWindowBytes, windowBytes } = options.limits;
    const onReleased = (): void => this.#session?.creditChanged();
    this.#inSync = new ReceiveWindow(windowBytes, onReleased);
    this.#catchingUp = new ReceiveWindow(catchUpWindowBytes, onReleased);
  }

  get isIdle(): boolean {
    return this.#replicas.size === 0;
  }

  join(replica: FollowedReplica, leaderNodeEpoch: number): void {
    const isNew = !this.#replicas.has(replica);
    this.#replicas.add(replica);
    // What an older view says of the node is void since it has registered again (R2).
    if (leaderNodeEpoch > this.#leaderNodeEpoch) {
      this.#leaderNodeEpoch = leaderNodeEpoch;
      this.restart();
    } else if (this.#session === undefined) this.#connectUnlessWaiting();
    else if (isNew && this.#session.isStanding) this.#session.join(replica);
  }

  leave(replica: FollowedReplica): void {
    this.#replicas.delete(replica);
    this.#session?.leave(replica);
  }

  termChanged(replica: FollowedReplica): void {
    this.#session?.termChanged(replica);
  }

  sendUpdate(replica: FollowedReplica, update: FollowerUpdate): void {
    this.#session?.sendUpdate(replica, update);
  }

  /** One of the two nodes has another registration: the stream begins anew, at once. */
  restart(): void {
    this.close();
    this.#attempts = 0;
    this.#connectUnlessWaiting();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#session?.close();
    this.#dropSession();
  }

  #connectUnlessWaiting(): void {
    if (this.#timer === undefined && this.#session === undefined && !this.isIdle) this.#connect();
  }

  #connect(): void {
    const { clusterId, leaderNodeId, nodeId, transportFor } = this.#options;
    const nodeEpoch = this.#options.nodeEpoch();
    // Until this node has registered there is nothing to say who asks; `restart` comes then.
    if (nodeEpoch < 0) return;
    try {
      this.#transport = transportFor(leaderNodeId);
      const { clock, limits, metrics, throttle } = this.#options;
      const session: FollowerSession = new FollowerSession({
        stream: createClient(ReplicationService, this.#transport).replicate(),
        ends: { clusterId, nodeId, nodeEpoch, leaderNodeId, leaderNodeEpoch: this.#leaderNodeEpoch },
        windows: { inSync: this.#inSync, catchingUp: this.#catchingUp },
        throttle,
        helloTimeoutMs: limits.helloTimeoutMs,
        clock,
        metrics,
        onStanding: () => this.#onStanding(session),
        onEnded: (reason) => this.#onEnded(reason),
      });
      this.#session = session;
      session.start();
    } catch (thrown) {
      this.#onEnded(toOttlaError(thrown));
    }
  }

  #onStanding(session: FollowerSession): void {
    const { clock, leaderNodeId, logger, metrics } = this.#options;
    this.#stoodSinceMs = clock.monotonic();
    metrics.leaderStreams(1);
    logger.info({ leaderNodeId, partitions: this.#replicas.size }, "follows a storage node");
    for (const replica of this.#replicas) session.join(replica);
  }

  #onEnded(reason: OttlaError): void {
    const { clock, leaderNodeId, limits, metrics, random, troubles } = this.#options;
    const stoodForMs = this.#stoodSinceMs === undefined ? 0 : clock.monotonic() - this.#stoodSinceMs;
    this.#dropSession();
    if (this.isIdle) return;
    metrics.countBrokenStream();
    const fields = { leaderNodeId, code: reason.code };
    troubles.warn(String(leaderNodeId), fields, `the stream from a storage node broke: ${reason.message}`);
    this.#attempts = stoodForMs >= PROVEN_MS ? 0 : this.#attempts + 1;
    const { maxReconnectDelayMs, minReconnectDelayMs } = limits;
    const delayMs = Math.min(maxReconnectDelayMs, minReconnectDelayMs * 2 ** Math.min(this.#attempts, 16));
    const reconnect = (): void => {
      this.#timer = undefined;
      this.#connectUnlessWaiting();
    };
    // Not all followers of a node that comes back ask it in the same instant.
    this.#timer = clock.setTimer(delayMs * (0.5 + random.float() / 2), reconnect, { background: true });
  }

  #dropSession(): void {
    if (this.#stoodSinceMs !== undefined) this.#options.metrics.leaderStreams(-1);
    this.#stoodSinceMs = undefined;
    this.#session = undefined;
    const transport = this.#transport;
    this.#transport = undefined;
    void transport?.close();
  }
}
