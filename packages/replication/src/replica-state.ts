import type { ErrorCode } from "@ottla/errors";
import { type FollowerLimits, FollowerState } from "./follower-state.ts";
import { type LeaderLimits, LeaderState } from "./leader-state.ts";
import { type Mutants, NO_MUTANTS } from "./mutants.ts";
import type { NodeIdentity, PartitionTerm, RegisteredNodes } from "./partition-term.ts";
import type { ReplicaEffect } from "./replica-effects.ts";
import type { ReplicaLog } from "./replica-log.ts";

export interface ReplicaLimits extends LeaderLimits, FollowerLimits {}

export interface ReplicaStateOptions {
  readonly node: NodeIdentity;
  readonly log: ReplicaLog;
  readonly limits: ReplicaLimits;
  /** As checkpointed. */
  readonly highWatermark: number;
  /**
   * From an earlier `reportDamage` that was not repaired, or where recovery found less
   * than the checkpoint promises.
   */
  readonly damagedFrom?: number | undefined;
  /**
   * In the same run of the node, before the log failed and was opened anew: an epoch that
   * it led is not led again.
   */
  readonly former?: ReplicaState | undefined;
  readonly mutants?: Mutants;
}

export type ReplicaRole =
  | { readonly kind: "leader"; readonly leader: LeaderState }
  | { readonly kind: "follower"; readonly follower: FollowerState }
  /** No replica here, or a leader that has resigned and waits for the metadata. */
  | { readonly kind: "none" };

const NONE: ReplicaRole = { kind: "none" };

/**
 * One replica through all its terms: takes the partition's states from the metadata in their
 * order, ends one role and begins the next. The high watermark that it knows goes with it.
 */
export class ReplicaState {
  readonly #options: ReplicaStateOptions;
  readonly #log: ReplicaLog;
  readonly #mutants: Mutants;
  #node: NodeIdentity;
  #role: ReplicaRole = NONE;
  #term: PartitionTerm | undefined;
  /** Came while the log was being cut: the next role begins when that is done. */
  #waitingTerm: PartitionTerm | undefined;
  #hasRegisteredMeanwhile = false;
  #nodes: RegisteredNodes = new Map();
  /**
   * A view that shows this node's own registration is not older than it, and so not older
   * than what an earlier run did.
   */
  #hasSeenItself: boolean;
  #hasLease = true;
  #highWatermark: number;
  #damagedFrom: number | undefined;
  #isUnfit: boolean;
  #positionVersion: number;
  #lastLedEpoch: number;
  #formerLedEpoch: number;

  constructor(options: ReplicaStateOptions) {
    const { log } = options;
    this.#options = options;
    this.#log = log;
    this.#mutants = options.mutants ?? NO_MUTANTS;
    this.#node = options.node;
    this.#damagedFrom = options.damagedFrom;
    this.#isUnfit = options.damagedFrom !== undefined;
    const { former } = options;
    this.#positionVersion = former === undefined ? 0 : former.#positionVersion;
    this.#formerLedEpoch = former === undefined ? -1 : former.#lastLedEpoch;
    this.#lastLedEpoch = this.#formerLedEpoch;
    this.#hasSeenItself = former !== undefined && former.#hasSeenItself;
    // What is not on disk any more is not known to be committed, whatever the checkpoint says.
    this.#highWatermark = Math.max(Math.min(options.highWatermark, log.syncedEndOffset), log.logStartOffset);
  }

  get node(): NodeIdentity {
    return this.#node;
  }

  get role(): ReplicaRole {
    return this.#role;
  }

  /** The newest state of the partition that this replica acts on. */
  get term(): PartitionTerm | undefined {
    return this.#term;
  }

  get highWatermark(): number {
    return this.#ofRole();
  }

  /** The replica has lost records and must not lead (R12). */
  get isUnfitToLead(): boolean {
    if (this.#role.kind === "follower") return this.#role.follower.hasLostRecords;
    return this.#isUnfit;
  }

  /**
   * The metadata as this node sees it now. A state older than one seen before is dropped, and so is all
   * until the view shows this node's registration: an earlier run may have acknowledged records in a
   * newer epoch than an old view knows of, and following that view's leader would truncate them (R6).
   */
  onMetadata(term: PartitionTerm, nodes: RegisteredNodes, nowMs: number): readonly ReplicaEffect[] {
    this.#nodes = nodes;
    this.#hasSeenItself ||= (nodes.get(this.#node.nodeId) ?? -1) >= this.#node.nodeEpoch;
    if (!this.#hasSeenItself && !this.#mutants.has("old-view-after-restart")) return [];
    const effects: ReplicaEffect[] = [];
    const newest = this.#waitingTerm ?? this.#term;
    if (newest === undefined || term.partitionEpoch > newest.partitionEpoch) {
      if (this.#isTruncating()) this.#waitingTerm = term;
      else effects.push(...this.#apply(term, nowMs));
    }
    if (this.#role.kind === "leader") effects.push(...this.#role.leader.onNodes(nodes, nowMs));
    return effects;
  }

  /** The node has registered again without a restart: it is another leader and another follower now (R2). */
  onRegistered(nodeEpoch: number, nowMs: number): readonly ReplicaEffect[] {
    this.#node = { nodeId: this.#node.nodeId, nodeEpoch };
    this.#hasRegisteredMeanwhile = this.#isTruncating();
    if (this.#term === undefined || this.#isTruncating()) return [];
    return this.#beginRole(this.#term, nowMs);
  }

  onLease(hasLease: boolean, nowMs: number): readonly ReplicaEffect[] {
    this.#hasLease = hasLease;
    return this.#role.kind === "leader" ? this.#role.leader.onLease(hasLease, nowMs) : [];
  }

  onLogProgress(nowMs: number): readonly ReplicaEffect[] {
    switch (this.#role.kind) {
      case "leader":
        return this.#role.leader.onLogProgress(nowMs);
      case "follower":
        return this.#role.follower.onLogProgress();
      case "none":
        return [];
      default:
        return this.#role satisfies never;
    }
  }

  /** Whether time alone may change anything: else ticks can be left out until something else has happened. */
  get needsTicks(): boolean {
    if (this.#role.kind === "leader") return this.#role.leader.needsTicks;
    return this.#role.kind === "follower" && this.#role.follower.phase === "aligning";
  }

  onTick(nowMs: number): readonly ReplicaEffect[] {
    switch (this.#role.kind) {
      case "leader":
        return this.#role.leader.onTick(nowMs);
      case "follower":
        return this.#role.follower.onTick(nowMs);
      case "none":
        return [];
      default:
        return this.#role satisfies never;
    }
  }

  /** The log is as short as `truncate` or `restartAt` asked for. */
  onTruncated(nowMs: number): readonly ReplicaEffect[] {
    if (this.#role.kind !== "follower") return [];
    const { follower } = this.#role;
    const effects = follower.onTruncated();
    const term = this.#waitingTerm ?? this.#term;
    const hasWaited = this.#waitingTerm !== undefined;
    const hasRegistered = this.#hasRegisteredMeanwhile;
    this.#waitingTerm = undefined;
    this.#hasRegisteredMeanwhile = false;
    if (term === undefined || !(hasWaited || hasRegistered)) return effects;
    if (!hasRegistered) {
      const role = this.#role;
      const applied = this.#apply(term, nowMs);
      // In the same term it goes on where the cut has left it.
      return this.#role === role ? [...effects, ...applied] : applied;
    }
    this.#term = term;
    return [...this.#reportAgain(term), ...this.#beginRole(term, nowMs)];
  }

  /** A batch cannot be read, or its CRC or continuity is wrong (R12). A leader with a hole resigns. */
  onDamage(fromOffset: number): readonly ReplicaEffect[] {
    this.#damagedFrom = Math.min(fromOffset, this.#damagedFrom ?? fromOffset);
    this.#isUnfit = true;
    const effects: ReplicaEffect[] = [{ kind: "reportDamage", fromOffset }];
    if (this.#role.kind === "follower") effects.push(...this.#role.follower.onDamage(fromOffset));
    if (this.#role.kind === "leader" && !this.#mutants.has("damaged-leads")) {
      effects.push(...this.#role.leader.resign("damaged-log"));
      this.#leaveRole();
    }
    return effects;
  }

  /**
   * A write or sync failed: the log is to be opened anew, as after a crash, and with it
   * another `ReplicaState`.
   */
  onLogFailed(): readonly ReplicaEffect[] {
    const effects = this.#role.kind === "leader" ? this.#role.leader.resign("log-failed") : [];
    this.#leaveRole();
    return effects;
  }

  /**
   * The disk was full: what was queued from the offset on was not written, and the log ends there again. A
   * leader that loses so what it had before its term has told followers that they agree with it up there, and
   * would give those offsets out again: it resigns (R2, R3).
   */
  onAppendsFailed(fromOffset: number): readonly ReplicaEffect[] {
    const role = this.#role;
    if (role.kind !== "leader" || fromOffset >= role.leader.epochStartOffset) return [];
    return this.onLogFailed();
  }

  /** No role from now on, and nothing to report: the log is closed, or the topic is being deleted. */
  end(message: string, code: ErrorCode = "NOT_LEADER_OR_FOLLOWER"): readonly ReplicaEffect[] {
    const effects = this.#role.kind === "leader" ? this.#role.leader.end(message, code) : [];
    this.#leaveRole();
    return effects;
  }

  #ofRole(): number {
    if (this.#role.kind === "leader") return this.#role.leader.highWatermark;
    if (this.#role.kind === "follower") return this.#role.follower.highWatermark;
    return this.#highWatermark;
  }

  #leaveRole(): void {
    this.#highWatermark = this.#ofRole();
    if (this.#role.kind === "follower") {
      this.#damagedFrom = this.#role.follower.damagedFrom;
      this.#isUnfit = this.#role.follower.hasLostRecords;
    }
    this.#role = NONE;
  }

  #isTruncating(): boolean {
    return this.#role.kind === "follower" && this.#role.follower.phase === "truncating";
  }

  #apply(term: PartitionTerm, nowMs: number): readonly ReplicaEffect[] {
    const before = this.#term;
    this.#term = term;
    const reports = this.#reportAgain(term);
    if (before?.leaderEpoch === term.leaderEpoch && term.replicas.includes(this.#node.nodeId)) {
      if (this.#role.kind === "leader") return [...reports, ...this.#role.leader.onTerm(term, nowMs)];
      if (this.#role.kind === "follower") return [...reports, ...this.#role.follower.onTerm(term)];
      if (before.replicas.includes(this.#node.nodeId)) return reports;
    }
    return [...reports, ...this.#beginRole(term, nowMs)];
  }

  /**
   * The coordinator still counts on a replica that has lost records: it has not heard of
   * it, or not before it decided.
   */
  #reportAgain(term: PartitionTerm): readonly ReplicaEffect[] {
    const counts = [...term.isr, ...term.eligibleReplicas].includes(this.#node.nodeId);
    if (!counts || !this.isUnfitToLead) return [];
    return [{ kind: "reportDamage", fromOffset: this.#damagedFrom ?? this.#log.logEndOffset }];
  }

  #beginRole(term: PartitionTerm, nowMs: number): readonly ReplicaEffect[] {
    const effects: ReplicaEffect[] = [];
    if (this.#role.kind === "leader") {
      const { leaderEpoch } = this.#role.leader;
      effects.push(
        ...this.#role.leader.end(
          `leader epoch ${leaderEpoch} is over; the partition's state is of epoch ${term.leaderEpoch}`,
        ),
      );
    }
    this.#leaveRole();
    if (!term.replicas.includes(this.#node.nodeId)) return [...effects, { kind: "leaveReplicas" }];
    if (!this.#isLedHere(term)) return [...effects, ...this.#follow(term)];
    const { leaderEpoch } = term;
    if (this.#isUnfit && !this.#mutants.has("damaged-leads")) {
      return [...effects, { kind: "resign", leaderEpoch, reason: "damaged-log" }];
    }
    // Its log may have lost records of this very epoch that others have: their offsets
    // must not be given out twice (R2).
    if (leaderEpoch <= this.#formerLedEpoch && !this.#mutants.has("epoch-led-twice")) {
      return [...effects, { kind: "resign", leaderEpoch, reason: "log-failed" }];
    }
    return [...effects, ...this.#lead(term, nowMs)];
  }

  #isLedHere(term: PartitionTerm): boolean {
    if (term.leader !== this.#node.nodeId) return false;
    return term.leaderNodeEpoch === this.#node.nodeEpoch || this.#mutants.has("unfenced-leader");
  }

  #lead(term: PartitionTerm, nowMs: number): readonly ReplicaEffect[] {
    const leader = new LeaderState({
      node: this.#node,
      term,
      nodes: this.#nodes,
      log: this.#log,
      limits: this.#options.limits,
      highWatermark: this.#highWatermark,
      hasLease: this.#hasLease,
      nowMs,
      mutants: this.#mutants,
    });
    this.#role = { kind: "leader", leader };
    this.#lastLedEpoch = term.leaderEpoch;
    return [{ kind: "becomeLeader", leaderEpoch: term.leaderEpoch }, ...leader.begin()];
  }

  #follow(term: PartitionTerm): readonly ReplicaEffect[] {
    const follower = new FollowerState({
      node: this.#node,
      term,
      log: this.#log,
      limits: this.#options.limits,
      highWatermark: this.#highWatermark,
      damagedFrom: this.#damagedFrom,
      hasLostRecords: this.#isUnfit,
      nextPositionVersion: () => {
        this.#positionVersion += 1;
        return this.#positionVersion;
      },
      mutants: this.#mutants,
    });
    this.#role = { kind: "follower", follower };
    const { leader, leaderEpoch } = term;
    const hasLeader = leader >= 0 && leader !== this.#node.nodeId;
    return [{ kind: "becomeFollower", leader: hasLeader ? leader : -1, leaderEpoch }, ...follower.begin()];
  }
}
