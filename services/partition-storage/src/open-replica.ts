import { OttlaError, toOttlaError } from "@ottla/errors";
import type { SegmentedLog } from "@ottla/log";
import {
  type IsrOutcome,
  type IsrProposal,
  type PartitionTerm,
  type PositionAnswer,
  type RecordsAnswer,
  type ReplicaEffect,
  ReplicaState,
  type ResignReason,
} from "@ottla/replication";
import type { Clock, Deadlines, Logger } from "@ottla/runtime";
import { FollowedLog } from "./followed-log.ts";
import type { PartitionFollower } from "./partition-follower.ts";
import type { PartitionLeader } from "./partition-leader.ts";
import { ReplicaRoles } from "./replica-roles.ts";
import type { FollowedReplica } from "./replication/replica-seams.ts";
import type { ReplicationNode } from "./replication-node.ts";
import type { FetchPurgatoryLimit } from "./waiting-fetches.ts";

export interface OpenReplicaOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly name: string;
  readonly log: SegmentedLog;
  /** Of the log that was open before this one in the same run of the node. */
  readonly former: ReplicaState | undefined;
  /** From here on records are lost or damaged (R12). */
  readonly damagedFrom: number | undefined;
  readonly node: ReplicationNode;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly purgatoryLimit: FetchPurgatoryLimit;
  readonly logger: Logger;
  /** The replica began or ceased to lead. */
  readonly onLeaderChange: () => void;
  /** Why the partition is not led here although the metadata wants it; undefined when it is. */
  readonly onLeadFailure: (error: OttlaError | undefined) => void;
  /** The log is not to be trusted any more: it is to be opened anew. */
  readonly onFailed: (error: OttlaError) => void;
}

type ReplicaEvent = (state: ReplicaState, nowMs: number) => readonly ReplicaEffect[];

interface IncomingRecords {
  readonly chunks: readonly Uint8Array[];
  readonly release: () => void;
}

const NOTHING: readonly ReplicaEffect[] = [];

/**
 * A replica for the life of its open log: owns its state machine, gives it what happens, one event after
 * another, and carries out what follows from each, in its order, before the next.
 */
export class OpenReplica implements FollowedReplica {
  readonly topicId: string;
  readonly partition: number;
  readonly #options: OpenReplicaOptions;
  readonly #log: SegmentedLog;
  readonly #state: ReplicaState;
  readonly #roles: ReplicaRoles;
  readonly #followed: FollowedLog;
  readonly #events: ReplicaEvent[] = [];
  #isBusy = false;
  #isClosed = false;
  /** Where the log ended when the state machine was last told. */
  #toldEndOffset: number;
  #incoming: IncomingRecords | undefined;

  constructor(options: OpenReplicaOptions) {
    const { log, node } = options;
    this.topicId = options.topicId;
    this.partition = options.partition;
    this.#options = options;
    this.#log = log;
    this.#toldEndOffset = log.logEndOffset;
    if (node.identity === undefined) throw new Error("the node is not registered");
    this.#state = new ReplicaState({
      node: node.identity,
      log,
      limits: node.limits,
      highWatermark: log.checkpointedHighWatermark,
      damagedFrom: options.damagedFrom,
      former: options.former,
      ...(node.mutants && { mutants: node.mutants }),
    });
    this.#roles = new ReplicaRoles({
      ...options,
      onReadFailed: (offset, error) => this.#onReadFailed(offset, error),
      onLogStartMoved: () => this.onLogStartMoved(),
      onFollowerUpdate: (update) =>
        this.#handle(({ role }, nowMs) =>
          role.kind === "leader" ? role.leader.onFollowerUpdate(update, nowMs) : NOTHING,
        ),
    });
    this.#followed = new FollowedLog({
      ...options,
      onAppended: (endOffset, sizeBytes) => this.follower?.onAppended(endOffset, sizeBytes),
      onRetry: () => this.onConnected(),
      onTruncated: () => this.#handle((state, nowMs) => state.onTruncated(nowMs)),
      onLogStartMoved: () => this.onLogStartMoved(),
    });
    log.onProgress(() => this.#onLogProgress());
    log.onAppendsFailed((fromOffset, error) => this.#onAppendsFailed(fromOffset, error));
    this.#handle((state, nowMs) => state.onLease(node.hasLease, nowMs));
  }

  /** Set while this replica leads and can. */
  get leader(): PartitionLeader | undefined {
    return this.#roles.leader;
  }

  get follower(): PartitionFollower | undefined {
    return this.#roles.follower;
  }

  get state(): ReplicaState {
    return this.#state;
  }

  get highWatermark(): number {
    return this.#state.highWatermark;
  }

  get needsTicks(): boolean {
    return !this.#isClosed && this.#state.needsTicks;
  }

  /** It waits for an answer, or to ask again: ticks are to come soon. */
  get isRestless(): boolean {
    const { role } = this.#state;
    if (this.#isClosed) return false;
    if (role.kind === "leader") return role.leader.isr.hasUnknownOutcome;
    return role.kind === "follower" && role.follower.phase === "aligning";
  }

  get isThrottled(): boolean {
    return this.#state.term?.isr.includes(this.#options.node.nodeId) !== true;
  }

  onMetadata(term: PartitionTerm): void {
    const { node } = this.#options;
    this.#handle((state, nowMs) => state.onMetadata(term, node.nodes, nowMs));
    this.leader?.onIsrChange();
    node.leaderStreams.termChanged(this);
  }

  onRegistered(nodeEpoch: number): void {
    this.#handle((state, nowMs) => state.onRegistered(nodeEpoch, nowMs));
  }

  onLease(hasLease: boolean): void {
    this.#handle((state, nowMs) => state.onLease(hasLease, nowMs));
  }

  onTick(): void {
    this.#handle((state, nowMs) => state.onTick(nowMs));
  }

  /** Compaction came upon damage (R12). */
  onDamagedRead(error: OttlaError): void {
    this.#onReadFailed(this.#log.logStartOffset, error);
  }

  /** The log begins later, by retention for instance (R14). */
  onLogStartMoved(): void {
    this.#handle((state, nowMs) => state.onLogProgress(nowMs));
    this.#roles.tellFollowers();
  }

  /** A write or sync failed or hangs: whoever leads, this replica does not. */
  resign(): void {
    this.#handle((state) => state.onLogFailed());
  }

  onConnected(): void {
    this.#handle(({ role }) => (role.kind === "follower" ? role.follower.onConnected() : NOTHING));
  }

  onPositionAnswer(answer: PositionAnswer): void {
    this.#handle(({ role }, nowMs) =>
      role.kind === "follower" ? role.follower.onPositionAnswer(answer, nowMs) : NOTHING,
    );
  }

  onRecords(answer: RecordsAnswer, chunks: readonly Uint8Array[], release: () => void): void {
    if (this.#followed.isPausing || this.#isClosed) {
      release();
      return;
    }
    this.#handle(({ role }) => {
      this.#incoming = { chunks, release };
      return role.kind === "follower" ? role.follower.onRecords(answer) : NOTHING;
    });
  }

  /** The log is being closed or given up, or nobody is to use it: all who wait fail with the reason. */
  close(reason: OttlaError): void {
    this.#roles.endLeading(reason);
    this.#handle((state) => state.end(reason.message, reason.code));
    this.#roles.close();
    this.#isClosed = true;
    this.#followed.close();
  }

  #handle(event: ReplicaEvent): void {
    if (this.#isClosed) return;
    this.#events.push(event);
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        this.#handleOne(next);
      }
    } catch (thrown) {
      // Effects that were not carried out leave state and log apart: only a new beginning mends that.
      this.#events.length = 0;
      this.#dropIncoming();
      this.#options.onFailed(toOttlaError(thrown));
    } finally {
      this.#isBusy = false;
      this.#wantTicks();
    }
  }

  #wantTicks(): void {
    if (!this.needsTicks) return;
    const { restless, ticked } = this.#options.node;
    ticked.add(this);
    if (this.isRestless) restless.add(this);
  }

  #handleOne(event: ReplicaEvent): void {
    const nowMs = this.#options.clock.monotonic();
    const { logEndOffset } = this.#log;
    if (logEndOffset !== this.#toldEndOffset) {
      // Whoever had all of the log was caught up until it grew, whatever happens next.
      this.#toldEndOffset = logEndOffset;
      this.#carryOut(this.#state.onLogProgress(nowMs));
    }
    this.#carryOut(event(this.#state, nowMs));
    this.#dropIncoming();
  }

  #dropIncoming(): void {
    this.#incoming?.release();
    this.#incoming = undefined;
  }

  #carryOut(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) this.#carryOutOne(effect);
  }

  #carryOutOne(effect: ReplicaEffect): void {
    const { node, name, logger } = this.#options;
    const roles = this.#roles;
    switch (effect.kind) {
      case "becomeLeader":
        return roles.lead(this.#state);
      case "becomeFollower":
        return roles.follow(this.#state, this);
      case "leaveReplicas":
        return roles.leave();
      case "failWaiters":
        return roles.endLeading(new OttlaError(effect.code, `${name}: ${effect.message}`));
      case "advanceHighWatermark":
        return roles.onHighWatermark();
      case "advanceLowWatermark":
        return roles.leader?.onLowWatermark(effect.logStartOffset);
      case "proposeIsr":
        return this.#propose(effect.proposal);
      case "answerPosition": {
        const { nodeId, nodeEpoch, fromOffset, answer } = effect;
        if (roles.leader === undefined) return;
        return node.followerStreams.answerPosition(roles.leader, nodeId, nodeEpoch, fromOffset, answer);
      }
      case "refuseUpdate": {
        const { nodeId, nodeEpoch, answer } = effect;
        if (roles.leader === undefined) return;
        return node.followerStreams.refuseUpdate(roles.leader, nodeId, nodeEpoch, answer);
      }
      case "resign":
        return this.#resigned(effect.leaderEpoch, effect.reason);
      case "sendUpdate":
        return node.leaderStreams.sendUpdate(this, effect.update);
      case "appendRecords":
        return this.#append();
      case "truncate":
      case "restartAt":
        return this.#truncate(effect);
      case "deleteRecordsBefore":
        return this.#followed.deleteRecordsBefore(effect.offset);
      case "reportDamage":
        return this.#reportDamage(effect.fromOffset);
      case "damageRepaired":
        logger.info({ partition: name }, "a damaged replica is whole again");
        this.#options.node.withdrawDamage(this);
        return this.#note(this.#log.clearDamage());
      case "cannotFollow":
        return logger.error({ partition: name }, effect.message);
      default:
        effect satisfies never;
    }
  }

  #propose(proposal: IsrProposal): void {
    const { node } = this.#options;
    const before = this.#state.term?.isr.length ?? 0;
    const settle = (outcome: IsrOutcome): void => {
      if (outcome.kind === "accepted" && proposal.isr.length !== before) {
        node.countIsrChange(proposal.isr.length > before ? "expand" : "shrink");
      }
      this.#handle(({ role }, nowMs) => {
        // An answer to an earlier term says nothing about this one.
        if (role.kind !== "leader" || role.leader.leaderEpoch !== proposal.leaderEpoch) return NOTHING;
        return role.leader.onIsrOutcome(proposal.proposalId, outcome, nowMs);
      });
      this.leader?.onIsrChange();
    };
    // Who cannot lead after all does not push its followers out.
    if (this.leader === undefined) settle({ kind: "unknown" });
    else node.proposeIsr(this, proposal, settle);
  }

  #resigned(leaderEpoch: number, reason: ResignReason): void {
    const { name, node, logger, onLeadFailure } = this.#options;
    logger.warn({ partition: name, leaderEpoch, reason }, "resigned as leader of a partition");
    node.countResignation(reason);
    onLeadFailure(new OttlaError("KAFKA_STORAGE_ERROR", `${name}: this node resigned as leader: ${reason}`));
    node.report(this, { kind: "resigned", leaderEpoch });
  }

  /** First on disk: a restart must not make the replica look whole (R12). */
  #reportDamage(fromOffset: number): void {
    const report = (): void => this.#options.node.report(this, { kind: "damaged", fromOffset });
    this.#note(this.#log.markDamaged(fromOffset).finally(report));
  }

  #note(written: Promise<void>): void {
    const { name, logger } = this.#options;
    written.catch((thrown: unknown) => {
      if (this.#isClosed) return;
      logger.warn({ partition: name, err: toOttlaError(thrown) }, "cannot note the damage of a replica");
    });
  }

  #append(): void {
    const incoming = this.#incoming;
    this.#incoming = undefined;
    if (incoming !== undefined) this.#followed.append(incoming.chunks, incoming.release);
  }

  #truncate(effect: Extract<ReplicaEffect, { kind: "truncate" | "restartAt" }>): void {
    const { name, logger } = this.#options;
    const { logEndOffset } = this.#log;
    logger.info(
      { partition: name, logEndOffset, ...effect },
      "a replica's log is cut to agree with its leader's",
    );
    this.follower?.onCutBack(effect.offset);
    if (effect.kind === "restartAt") {
      this.follower?.end();
      this.#followed.truncate(() => this.#log.truncateFullyAndStartAt(effect.offset));
      return;
    }
    // What readers have seen goes: after an unclean election, or to be fetched again.
    if (effect.isBelowHighWatermark) this.follower?.end();
    this.#followed.truncate(() => this.#log.truncateTo(effect.offset));
  }

  #onLogProgress(): void {
    this.leader?.onLogProgress();
    this.#followed.onLogProgress();
    this.#handle((state, nowMs) => state.onLogProgress(nowMs));
    this.#roles.tellFollowers();
  }

  #onAppendsFailed(fromOffset: number, error: OttlaError): void {
    this.leader?.onAppendsFailed(fromOffset, error);
    this.#handle((state) => state.onAppendsFailed(fromOffset));
    if (this.#state.role.kind !== "follower") return;
    this.follower?.onCutBack(fromOffset);
    this.#followed.onAppendsFailed(error);
  }

  /** A read found a damaged batch: whoever has a hole does not lead, where another can (R12). */
  #onReadFailed(offset: number, thrown: unknown): void {
    const error = toOttlaError(thrown);
    const isAlone = (this.#state.term?.replicas.length ?? 1) <= 1;
    if (error.code !== "CORRUPT_MESSAGE" || isAlone) return;
    const { name, logger } = this.#options;
    const fromOffset = Number(error.metadata["offset"] ?? offset);
    logger.error({ partition: name, err: error, fromOffset }, "records of a partition are damaged");
    this.#handle((state) => state.onDamage(fromOffset));
  }
}
