import type { FollowerEffect } from "./follower-effects.ts";
import { truncationOffset } from "./log-agreement.ts";
import { type Mutants, NO_MUTANTS } from "./mutants.ts";
import type { NodeIdentity, PartitionTerm } from "./partition-term.ts";
import { type EpochEnd, epochBefore, type ReplicaLog } from "./replica-log.ts";
import type {
  Acknowledgement,
  AnswerHead,
  FollowerUpdate,
  PositionAnswer,
  RecordsAnswer,
} from "./replication-messages.ts";

export interface FollowerLimits {
  /** How long to wait before asking again after a refusal. */
  readonly refusedBackoffMs: number;
}

export interface FollowerStateOptions {
  readonly node: NodeIdentity;
  readonly term: PartitionTerm;
  readonly log: ReplicaLog;
  readonly limits: FollowerLimits;
  readonly highWatermark: number;
  /** From here on the log is damaged (R12); it is cut once a leader is known to have the records. */
  readonly damagedFrom?: number | undefined;
  /** Records that this replica had acknowledged are gone, whether or not the damage was cut. */
  readonly hasLostRecords: boolean;
  /** Counts positions over all terms of one run of the node. */
  readonly nextPositionVersion: () => number;
  readonly mutants?: Mutants;
}

/**
 * waiting: there is nobody to follow; aligning: a position is asked for, nothing is taken
 * yet; truncating: the owner is cutting the log; following: records are taken and
 * acknowledged; failed: only another term helps.
 */
export type FollowerPhase = "waiting" | "aligning" | "truncating" | "following" | "failed";

const NOTHING: readonly FollowerEffect[] = [];

/**
 * A follower in one term of its leader: finds where both logs part (R6), takes records
 * from there, acknowledges what is synced (R3). All methods return what is to be done;
 * the log is changed by the owner only.
 */
export class FollowerState {
  readonly #options: FollowerStateOptions;
  readonly #log: ReplicaLog;
  readonly #mutants: Mutants;
  #term: PartitionTerm;
  #phase: FollowerPhase = "waiting";
  #positionVersion = 0;
  #highWatermark: number;
  #damagedFrom: number | undefined;
  #hasLostRecords: boolean;
  /** Where the leader's log ended when it accepted the position. */
  #wholeAtOffset = Number.MAX_SAFE_INTEGER;
  #acknowledged: Acknowledgement | undefined;
  /** What the leader told last, since it accepted the position: some is for when more is synced here. */
  #told: AnswerHead | undefined;
  #askAgainAtMs: number | undefined;

  constructor(options: FollowerStateOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#mutants = options.mutants ?? NO_MUTANTS;
    this.#term = options.term;
    this.#highWatermark = options.highWatermark;
    this.#damagedFrom = options.damagedFrom;
    this.#hasLostRecords = options.hasLostRecords;
  }

  get leader(): number {
    return this.#term.leader;
  }

  get leaderEpoch(): number {
    return this.#term.leaderEpoch;
  }

  get phase(): FollowerPhase {
    return this.#phase;
  }

  get highWatermark(): number {
    return this.#highWatermark;
  }

  /** Where the log is damaged and not yet cut; undefined when it is whole. */
  get damagedFrom(): number | undefined {
    return this.#damagedFrom;
  }

  /** Until it has again all that its leader had (R12). */
  get hasLostRecords(): boolean {
    return this.#hasLostRecords;
  }

  /** Begins to follow, if there is anyone to follow. */
  begin(): readonly FollowerEffect[] {
    // A leader that is a former registration of this node is nobody: the coordinator is
    // about to choose anew (R2).
    if (this.#term.leader < 0 || this.#term.leader === this.#options.node.nodeId) return NOTHING;
    if (this.#mutants.has("truncate-by-high-watermark") && this.#log.logEndOffset > this.#highWatermark) {
      return this.#truncate(Math.max(this.#highWatermark, this.#log.logStartOffset), "diverged");
    }
    return this.#ask();
  }

  /** The ISR or replicas changed without a change of leader epoch. */
  onTerm(term: PartitionTerm): readonly FollowerEffect[] {
    if (term.leaderEpoch === this.leaderEpoch) this.#term = term;
    return NOTHING;
  }

  /** A stream to the leader's node is there (again): what was under way on the old one is lost. */
  onConnected(): readonly FollowerEffect[] {
    return this.#phase === "aligning" || this.#phase === "following" ? this.#ask() : NOTHING;
  }

  onTick(nowMs: number): readonly FollowerEffect[] {
    const isDue = this.#askAgainAtMs !== undefined && nowMs >= this.#askAgainAtMs;
    return isDue && this.#phase === "aligning" ? this.#ask() : NOTHING;
  }

  onPositionAnswer(answer: PositionAnswer, nowMs: number): readonly FollowerEffect[] {
    if (!this.#isCurrent(answer)) return NOTHING;
    const { outcome } = answer;
    // A leader that resigned or found its log unreadable says so in the midst of following, too.
    if (outcome.kind === "refused") {
      this.#phase = "aligning";
      this.#askAgainAtMs = nowMs + this.#options.limits.refusedBackoffMs;
      return NOTHING;
    }
    if (this.#phase !== "aligning") return NOTHING;
    switch (outcome.kind) {
      case "accepted":
        return this.#follow(answer);
      case "diverging":
        return this.#diverged(outcome.end);
      case "outOfRange":
        return this.#restart(outcome.restartOffset);
      default:
        return outcome satisfies never;
    }
  }

  /** Batches, or only offsets that changed (`baseOffset` equal to `nextOffset`). */
  onRecords(answer: RecordsAnswer): readonly FollowerEffect[] {
    if (!this.#isCurrent(answer) || this.#phase !== "following") return NOTHING;
    const { logEndOffset } = this.#log;
    const { baseOffset, nextOffset } = answer;
    const effects: FollowerEffect[] = [];
    if (nextOffset > baseOffset) {
      // R12: continuity. What was there before came twice; a gap means that something was lost on the way.
      if (baseOffset > logEndOffset) return this.#ask();
      // An empty log whose start lies inside the leader's first batch: it needs that batch whole.
      const isInsideBatch = baseOffset < logEndOffset && logEndOffset < nextOffset;
      if (isInsideBatch && logEndOffset <= this.#log.logStartOffset) return this.#restart(baseOffset);
      if (baseOffset === logEndOffset) effects.push({ kind: "appendRecords", baseOffset, nextOffset });
    }
    effects.push(...this.#learn(answer));
    return effects;
  }

  /** The log grew or was synced further. */
  onLogProgress(): readonly FollowerEffect[] {
    if (this.#phase !== "following") return NOTHING;
    const learned = this.#told === undefined ? NOTHING : this.#learn(this.#told);
    return [...this.#noteRepair(), ...this.#acknowledge(), ...learned];
  }

  #acknowledge(): readonly FollowerEffect[] {
    const acknowledgement = this.#acknowledgement();
    const before = this.#acknowledged;
    if (
      before !== undefined &&
      before.syncedEndOffset === acknowledgement.syncedEndOffset &&
      before.logStartOffset === acknowledgement.logStartOffset
    ) {
      return NOTHING;
    }
    return [this.#update(acknowledgement)];
  }

  /** The owner has done what `truncate` or `restartAt` asked for. */
  onTruncated(): readonly FollowerEffect[] {
    if (this.#phase !== "truncating") return NOTHING;
    // Anew from the leader's log start, which is below the leader's high watermark. Not
    // before the old records are gone.
    this.#highWatermark = Math.max(this.#highWatermark, this.#log.logStartOffset);
    return this.#ask();
  }

  /** The owner could not read a batch, or its CRC or continuity is wrong (R12). */
  onDamage(fromOffset: number): readonly FollowerEffect[] {
    this.#damagedFrom = Math.min(fromOffset, this.#damagedFrom ?? fromOffset);
    this.#hasLostRecords = true;
    return this.#phase === "following" ? this.#cutDamage() : NOTHING;
  }

  #isCurrent(answer: AnswerHead): boolean {
    if (this.#mutants.has("stale-leader-epoch-accepted")) return true;
    return answer.leaderEpoch === this.leaderEpoch && answer.positionVersion === this.#positionVersion;
  }

  #ask(): readonly FollowerEffect[] {
    const offset = this.#log.logEndOffset;
    if (offset <= (this.#damagedFrom ?? -1)) this.#damagedFrom = undefined;
    this.#phase = "aligning";
    this.#told = undefined;
    this.#askAgainAtMs = undefined;
    this.#positionVersion = this.#options.nextPositionVersion();
    const lastEpoch = epochBefore(this.#log, offset);
    return [this.#update(this.#acknowledgement(), { position: { offset, lastEpoch } })];
  }

  #follow(answer: PositionAnswer): readonly FollowerEffect[] {
    this.#phase = "following";
    this.#wholeAtOffset = answer.logEndOffset;
    if (this.#damagedFrom !== undefined) return this.#cutDamage();
    return [...this.#learn(answer), ...this.onLogProgress()];
  }

  #diverged(end: EpochEnd): readonly FollowerEffect[] {
    const offset = truncationOffset(this.#log, end);
    if (offset < this.#log.logEndOffset) return this.#truncate(offset, "diverged");
    this.#phase = "failed";
    const { logEndOffset, logStartOffset } = this.#log;
    return [
      {
        kind: "cannotFollow",
        message:
          `the leader says that epoch ${end.epoch} ends at ${end.endOffset}, which leaves nothing to truncate ` +
          `in a log from ${logStartOffset} to ${logEndOffset} that does not agree with the leader's`,
      },
    ];
  }

  /**
   * Only a replica that is not in sync can be so far behind: the leader deletes below its
   * high watermark (R14).
   */
  #restart(offset: number): readonly FollowerEffect[] {
    this.#phase = "truncating";
    this.#damagedFrom = undefined;
    return [{ kind: "restartAt", offset }];
  }

  #cutDamage(): readonly FollowerEffect[] {
    const offset = Math.max(this.#damagedFrom ?? 0, this.#log.logStartOffset);
    if (offset < this.#log.logEndOffset) return this.#truncate(offset, "damaged");
    this.#damagedFrom = undefined;
    return this.#ask();
  }

  /** Whatever it acknowledged and is committed, its leader's log holds: with all of that it lacks nothing. */
  #noteRepair(): readonly FollowerEffect[] {
    const isWhole = this.#damagedFrom === undefined && this.#log.syncedEndOffset >= this.#wholeAtOffset;
    if (!this.#hasLostRecords || !isWhole) return NOTHING;
    this.#hasLostRecords = false;
    return [{ kind: "damageRepaired" }];
  }

  #truncate(offset: number, reason: "diverged" | "damaged"): readonly FollowerEffect[] {
    this.#phase = "truncating";
    const isBelowHighWatermark = offset < this.#highWatermark;
    if (isBelowHighWatermark) this.#highWatermark = offset;
    return [{ kind: "truncate", offset, reason, isBelowHighWatermark }];
  }

  #learn(head: AnswerHead): FollowerEffect[] {
    this.#told = head;
    const effects: FollowerEffect[] = [];
    const known = Math.min(head.highWatermark, this.#log.syncedEndOffset);
    if (known > this.#highWatermark) {
      this.#highWatermark = known;
      effects.push({ kind: "advanceHighWatermark", highWatermark: known });
    }
    // Records that are not known to be committed here stay for another time.
    const logStartOffset = Math.min(head.logStartOffset, this.#highWatermark);
    if (logStartOffset > this.#log.logStartOffset) {
      effects.push({ kind: "deleteRecordsBefore", offset: logStartOffset });
    }
    return effects;
  }

  #acknowledgement(): Acknowledgement {
    const { logEndOffset, logStartOffset } = this.#log;
    const synced = this.#mutants.has("sync-skipped") ? logEndOffset : this.#log.syncedEndOffset;
    // The leader takes in who has all that is committed, maybe before this replica takes
    // itself for whole (R12): in between it would report itself again.
    const proven = this.#hasLostRecords ? logStartOffset : synced;
    const syncedEndOffset = Math.min(proven, this.#damagedFrom ?? proven);
    return { syncedEndOffset, lastEpoch: epochBefore(this.#log, syncedEndOffset), logStartOffset };
  }

  #update(acknowledgement: Acknowledgement, rest: Pick<FollowerUpdate, "position"> = {}): FollowerEffect {
    this.#acknowledged = acknowledgement;
    const { nodeId, nodeEpoch } = this.#options.node;
    const { leaderEpoch } = this;
    const positionVersion = this.#positionVersion;
    return {
      kind: "sendUpdate",
      update: { nodeId, nodeEpoch, leaderEpoch, positionVersion, acknowledgement, ...rest },
    };
  }
}
