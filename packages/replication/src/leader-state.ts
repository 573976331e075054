import { type ErrorCode, OttlaError } from "@ottla/errors";
import { FollowerProgress, type ReplicaLag } from "./follower-progress.ts";
import { nextHighWatermark } from "./high-watermark.ts";
import { InSyncReplicas, type IsrOutcome } from "./in-sync-replicas.ts";
import type { LeaderEffect, ResignReason } from "./leader-effects.ts";
import { divergingEpoch, logsAgree } from "./log-agreement.ts";
import { type Mutants, NO_MUTANTS } from "./mutants.ts";
import type { NodeIdentity, PartitionTerm, RegisteredNodes } from "./partition-term.ts";
import { NO_EPOCH, type ReplicaLog } from "./replica-log.ts";
import type {
  AnswerHead,
  FetchPosition,
  FollowerUpdate,
  PositionOutcome,
  ReplicationRefusal,
} from "./replication-messages.ts";
import { wantedIsr } from "./wanted-isr.ts";

export interface LeaderLimits {
  /** `replica.lag.time.max.ms`: a member of the ISR that was not at the log's end for so long leaves it. */
  readonly replicaLagTimeMaxMs: number;
  readonly isrRetryBackoffMs: number;
  /**
   * How long who has left the ISR, or was refused, is not proposed again. A node that stops is taken out
   * while it has everything still: each proposal to take it in again would make the high watermark wait for
   * it (R4).
   */
  readonly rejoinDelayMs?: number;
}

export interface LeaderStateOptions {
  readonly node: NodeIdentity;
  readonly term: PartitionTerm;
  readonly nodes: RegisteredNodes;
  readonly log: ReplicaLog;
  readonly limits: LeaderLimits;
  /** What this replica knew of the high watermark before the term. */
  readonly highWatermark: number;
  readonly hasLease: boolean;
  readonly nowMs: number;
  readonly mutants?: Mutants;
}

/** How many in-sync replicas a reply waits for. */
export type RequiredAcks = "all" | "leader" | "none";

const NOTHING: readonly LeaderEffect[] = [];

/**
 * One term of leadership of one partition: what followers have, the ISR, the high
 * watermark. It begins when the node learns that it leads and ends for good with `end`;
 * another leader epoch is another object. All methods return what is to be done.
 */
export class LeaderState {
  readonly leaderEpoch: number;
  /** Where the log ended when the term began (R5, R7). */
  readonly epochStartOffset: number;
  readonly #options: LeaderStateOptions;
  readonly #log: ReplicaLog;
  readonly #mutants: Mutants;
  /** What is committed, and what was asked for: while an outcome is unknown, ticks are wanted. */
  readonly isr: InSyncReplicas;
  readonly #followers = new Map<number, FollowerProgress>();
  readonly #beganAtMs: number;
  #nodes: RegisteredNodes;
  #hasLease: boolean;
  #highWatermark: number;
  #lowWatermark: number;
  #logEndOffset: number;
  #hasEnded = false;

  constructor(options: LeaderStateOptions) {
    const { log, term, nowMs } = options;
    this.#options = options;
    this.#log = log;
    this.#mutants = options.mutants ?? NO_MUTANTS;
    this.leaderEpoch = term.leaderEpoch;
    this.epochStartOffset = log.logEndOffset;
    this.isr = new InSyncReplicas({
      term,
      retryBackoffMs: options.limits.isrRetryBackoffMs,
      mutants: this.#mutants,
    });
    this.#beganAtMs = nowMs;
    this.#nodes = options.nodes;
    this.#hasLease = options.hasLease;
    this.#highWatermark = Math.max(options.highWatermark, log.logStartOffset);
    this.#lowWatermark = 0;
    this.#logEndOffset = log.logEndOffset;
    this.#keepFollowersOf(term, nowMs);
  }

  get term(): PartitionTerm {
    return this.isr.term;
  }

  get mutants(): Mutants {
    return this.#mutants;
  }

  get highWatermark(): number {
    return this.#highWatermark;
  }

  /** All in-sync replicas begin there or later (R14). */
  get lowWatermark(): number {
    return this.#lowWatermark;
  }

  /** Whether time alone may change anything: else `onTick` does nothing until something else has happened. */
  get needsTicks(): boolean {
    if (this.#hasEnded) return false;
    if (this.isr.hasUnknownOutcome) return true;
    const { logEndOffset } = this.#log;
    for (const [nodeId, follower] of this.#followers) {
      if (follower.needsTicks(this.isr.committed.includes(nodeId), logEndOffset)) return true;
    }
    return false;
  }

  get hasLease(): boolean {
    return this.#hasLease;
  }

  /** The committed ISR and all that may have joined it unseen (R4). */
  get maximalIsr(): ReadonlySet<number> {
    return this.isr.maximal;
  }

  /** What a follower has acknowledged in this term; undefined when nothing counts. */
  acknowledgedEndOffset(nodeId: number): number | undefined {
    return this.#followers.get(nodeId)?.syncedEndOffset;
  }

  /** How far each replica has come, in the order of the replicas; for people and metrics. */
  replicaLags(nowMs: number): readonly ReplicaLag[] {
    const { nodeId: ownId } = this.#options.node;
    const { logEndOffset, syncedEndOffset } = this.#log;
    return this.term.replicas.map((nodeId) => {
      if (nodeId === ownId) return { nodeId, syncedEndOffset, lagMs: 0 };
      const follower = this.#followers.get(nodeId);
      const lagMs = follower?.lagMs(logEndOffset, nowMs);
      return { nodeId, syncedEndOffset: follower?.syncedEndOffset, lagMs };
    });
  }

  /** What "latest" is to a reader (R5); undefined means OFFSET_NOT_AVAILABLE. */
  latestOffset(): number | undefined {
    const knows = this.#highWatermark >= this.epochStartOffset;
    return knows || this.#mutants.has("latest-before-epoch-start") ? this.#highWatermark : undefined;
  }

  /** Why an append is refused before it reaches the log, or undefined. */
  refuseAppend(acks: RequiredAcks): OttlaError | undefined {
    const { isr, minInsyncReplicas } = this.isr.term;
    if (this.#hasEnded)
      return new OttlaError("NOT_LEADER_OR_FOLLOWER", "this node leads the partition no longer");
    if (acks !== "all") {
      if (this.#hasLease || this.#mutants.has("lease-ignored")) return undefined;
      return new OttlaError(
        "NOT_LEADER_OR_FOLLOWER",
        "this node has lost its lease: until it is back, or another leads, only acks=all is taken",
      );
    }
    if (isr.length >= minInsyncReplicas) return undefined;
    return new OttlaError(
      "NOT_ENOUGH_REPLICAS",
      `${isr.length} replicas are in sync, min.insync.replicas is ${minInsyncReplicas}`,
      { metadata: { limit: String(minInsyncReplicas) } },
    );
  }

  /** To be called once, when the owner is ready for effects: a leader alone in the ISR advances at once. */
  begin(): readonly LeaderEffect[] {
    return this.#goOn(this.#beganAtMs);
  }

  /** The partition's state changed without a change of leader epoch. */
  onTerm(term: PartitionTerm, nowMs: number): readonly LeaderEffect[] {
    if (term.leaderEpoch !== this.leaderEpoch || term.partitionEpoch <= this.term.partitionEpoch)
      return NOTHING;
    this.isr.adopt(term);
    this.#keepFollowersOf(term, nowMs);
    return this.#goOn(nowMs);
  }

  onNodes(nodes: RegisteredNodes, nowMs: number): readonly LeaderEffect[] {
    this.#nodes = nodes;
    return this.#goOn(nowMs);
  }

  /** The log grew, was synced further, or begins later. */
  onLogProgress(nowMs: number): readonly LeaderEffect[] {
    const { logEndOffset } = this.#log;
    if (logEndOffset > this.#logEndOffset) {
      for (const follower of this.#followers.values()) follower.leaderAppended(this.#logEndOffset, nowMs);
    }
    this.#logEndOffset = logEndOffset;
    return this.#goOn(nowMs);
  }

  onLease(hasLease: boolean, nowMs: number): readonly LeaderEffect[] {
    this.#hasLease = hasLease;
    return this.#goOn(nowMs);
  }

  onIsrOutcome(proposalId: number, outcome: IsrOutcome, nowMs: number): readonly LeaderEffect[] {
    const added = this.isr.attempt?.added ?? [];
    if (!this.isr.settle(proposalId, outcome, nowMs)) return NOTHING;
    if (outcome.kind === "accepted") this.#keepFollowersOf(this.term, nowMs);
    if (outcome.kind === "refused" && outcome.reason === "ineligible-replica") {
      for (const { nodeId } of added) this.#followers.get(nodeId)?.putOff(nowMs);
    }
    if (outcome.kind === "refused" && outcome.reason === "fenced-leader-epoch") return this.resign("fenced");
    return this.#goOn(nowMs);
  }

  /** Time has passed: who lags leaves the ISR, what was put off is proposed again. */
  onTick(nowMs: number): readonly LeaderEffect[] {
    return this.#goOn(nowMs);
  }

  onFollowerUpdate(update: FollowerUpdate, nowMs: number): readonly LeaderEffect[] {
    const refusal = this.#refuse(update);
    if (refusal !== undefined) return [this.#refusalOf(update, refusal)];
    const follower = this.#followers.get(update.nodeId);
    if (follower === undefined) return NOTHING;
    const isNewer =
      update.nodeEpoch > follower.nodeEpoch ||
      (update.nodeEpoch === follower.nodeEpoch && update.positionVersion > follower.positionVersion);
    const effects: LeaderEffect[] = [];
    if (update.position !== undefined && isNewer) {
      const outcome = this.#judge(update.position);
      follower.begin(update.nodeEpoch, update.positionVersion, outcome.kind === "accepted");
      effects.push(this.#answer(update, update.position.offset, outcome));
    }
    this.#acknowledge(follower, update, nowMs);
    effects.push(...this.#goOn(nowMs));
    return effects;
  }

  /** The term is over, whoever leads next: nothing that waits survives it (R15). */
  end(message: string, code: ErrorCode = "NOT_LEADER_OR_FOLLOWER"): readonly LeaderEffect[] {
    if (this.#hasEnded) return NOTHING;
    this.#hasEnded = true;
    if (this.#mutants.has("waiter-survives-epoch")) return NOTHING;
    return [{ kind: "failWaiters", code, message }];
  }

  /** This node cannot lead, or must not, before the metadata says so. */
  resign(reason: ResignReason): readonly LeaderEffect[] {
    if (this.#hasEnded) return NOTHING;
    const code = reason === "fenced" ? "NOT_LEADER_OR_FOLLOWER" : "KAFKA_STORAGE_ERROR";
    const failed = this.end(`this node resigned as leader of epoch ${this.leaderEpoch}: ${reason}`, code);
    return [...failed, { kind: "resign", leaderEpoch: this.leaderEpoch, reason }];
  }

  #refuse(update: FollowerUpdate): ReplicationRefusal | undefined {
    const { leaderEpoch, nodeEpoch, nodeId } = update;
    if (this.#hasEnded) return "not-leader";
    const anyEpoch = this.#mutants.has("stale-leader-epoch-accepted");
    if (leaderEpoch < this.leaderEpoch && !anyEpoch) return "fenced-leader-epoch";
    if (leaderEpoch > this.leaderEpoch) return "unknown-leader-epoch";
    const follower = this.#followers.get(nodeId);
    if (follower === undefined) return "not-a-replica";
    const known = Math.max(follower.nodeEpoch, this.#nodes.get(nodeId) ?? -1);
    const isStale = nodeEpoch < known && !this.#mutants.has("stale-node-epoch-accepted");
    return isStale ? "stale-node-epoch" : undefined;
  }

  #judge(position: FetchPosition): PositionOutcome {
    const { offset, lastEpoch } = position;
    if (this.#mutants.has("agreement-unchecked")) return { kind: "accepted" };
    const { logStartOffset } = this.#log;
    const restartOffset = this.#log.firstBatchOffset ?? logStartOffset;
    // At the log start nobody can tell any more whether the follower's records below are the leader's: it is
    // to forget them, as the leader did. And inside of the batch that holds it, it could not take that batch.
    const mayGoOn = offset > logStartOffset || (offset === restartOffset && lastEpoch === NO_EPOCH);
    if (!mayGoOn) return { kind: "outOfRange", restartOffset };
    if (logsAgree(this.#log, offset, lastEpoch)) return { kind: "accepted" };
    return { kind: "diverging", end: divergingEpoch(this.#log, lastEpoch) };
  }

  /** R3: counts what both logs agree on, of the position that the leader has accepted and no other. */
  #acknowledge(follower: FollowerProgress, update: FollowerUpdate, nowMs: number): void {
    const { acknowledgement, nodeEpoch, positionVersion } = update;
    const isOfPosition = follower.nodeEpoch === nodeEpoch && follower.positionVersion === positionVersion;
    const anyPosition =
      this.#mutants.has("stale-node-epoch-accepted") || this.#mutants.has("stale-leader-epoch-accepted");
    if (!anyPosition && (!isOfPosition || !follower.isAligned)) return;
    const { lastEpoch, syncedEndOffset } = acknowledgement;
    const agrees = logsAgree(this.#log, syncedEndOffset, lastEpoch);
    if (!agrees && !this.#mutants.has("agreement-unchecked")) return;
    follower.acknowledge(acknowledgement, this.#log.logEndOffset, nowMs);
  }

  /** Whatever happened: the watermarks and the ISR follow from what is known now. */
  #goOn(nowMs: number): readonly LeaderEffect[] {
    if (this.#hasEnded) return NOTHING;
    const effects: LeaderEffect[] = [];
    const highWatermark = nextHighWatermark(this.#highWatermark, {
      nodeId: this.#options.node.nodeId,
      ownSyncedEndOffset: this.#log.syncedEndOffset,
      acknowledgedEndOffset: (nodeId) => this.acknowledgedEndOffset(nodeId),
      maximalIsr: this.isr.maximal,
      committedIsrSize: this.isr.committed.length,
      minInsyncReplicas: this.term.minInsyncReplicas,
      mutants: this.#mutants,
    });
    if (highWatermark > this.#highWatermark) {
      this.#highWatermark = highWatermark;
      effects.push({ kind: "advanceHighWatermark", highWatermark });
    }
    const lowWatermark = this.#nextLowWatermark();
    if (lowWatermark > this.#lowWatermark) {
      this.#lowWatermark = lowWatermark;
      effects.push({ kind: "advanceLowWatermark", logStartOffset: lowWatermark });
    }
    this.#proposeIsr(nowMs, effects);
    return effects;
  }

  #nextLowWatermark(): number {
    // As with the high watermark (R4): an eligible replica that has not heard of it might lead next.
    const tooSmall = this.isr.committed.length < this.term.minInsyncReplicas;
    if (tooSmall && !this.#mutants.has("low-watermark-early")) return this.#lowWatermark;
    let lowest = this.#log.logStartOffset;
    for (const [nodeId, follower] of this.#followers) {
      // One that is down is waited for until the coordinator has taken it out of the ISR: it might lead next.
      if (!this.isr.maximal.has(nodeId)) continue;
      lowest = Math.min(lowest, follower.logStartOffset ?? 0);
    }
    return lowest;
  }

  #proposeIsr(nowMs: number, effects: LeaderEffect[]): void {
    // R10: a leader without a lease changes no ISR.
    if (!this.#hasLease && !this.#mutants.has("lease-ignored")) return;
    if (!this.isr.mayPropose(nowMs)) return;
    const { committed } = this.isr;
    const { isr, added, lostRecords } = wantedIsr({
      term: this.term,
      nodeId: this.#options.node.nodeId,
      nodes: this.#nodes,
      followers: this.#followers,
      limits: this.#options.limits,
      logStartOffset: this.#log.logStartOffset,
      logEndOffset: this.#log.logEndOffset,
      highWatermark: this.#highWatermark,
      epochStartOffset: this.epochStartOffset,
      nowMs,
      mutants: this.#mutants,
    });
    const isSame = added.length === 0 && isr.length === committed.length;
    // After an unknown outcome even the same ISR is proposed: once the partition epoch
    // has moved, nothing is unknown.
    if (isSame && !this.isr.hasUnknownOutcome) return;
    effects.push({ kind: "proposeIsr", proposal: this.isr.propose({ isr, added, lostRecords }) });
  }

  #keepFollowersOf(term: PartitionTerm, nowMs: number): void {
    for (const nodeId of this.#followers.keys()) {
      if (!term.replicas.includes(nodeId)) this.#followers.delete(nodeId);
    }
    for (const nodeId of term.replicas) {
      if (nodeId === this.#options.node.nodeId) continue;
      const follower = this.#followers.get(nodeId) ?? new FollowerProgress(nowMs);
      this.#followers.set(nodeId, follower);
      follower.noteMember(term.isr.includes(nodeId), nowMs);
    }
  }

  #head(update: FollowerUpdate): AnswerHead {
    return {
      leaderEpoch: this.leaderEpoch,
      positionVersion: update.positionVersion,
      highWatermark: this.#highWatermark,
      logStartOffset: this.#log.logStartOffset,
      logEndOffset: this.#log.logEndOffset,
    };
  }

  #answer(update: FollowerUpdate, fromOffset: number, outcome: PositionOutcome): LeaderEffect {
    const { nodeEpoch, nodeId } = update;
    const answer = { ...this.#head(update), outcome };
    return { kind: "answerPosition", nodeId, nodeEpoch, fromOffset, answer };
  }

  #refusalOf(update: FollowerUpdate, reason: ReplicationRefusal): LeaderEffect {
    const { leaderEpoch, nodeEpoch, nodeId } = update;
    // Of the update's term: the follower would drop what belongs to another, and never ask again.
    const head = { ...this.#head(update), leaderEpoch };
    return {
      kind: "refuseUpdate",
      nodeId,
      nodeEpoch,
      answer: { ...head, outcome: { kind: "refused", reason } },
    };
  }
}
