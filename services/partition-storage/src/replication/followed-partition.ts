import { invalidRequest } from "@ottla/errors";
import type { LeaderAnswer } from "@ottla/proto/ottla/internal/v1/replication";
import type { AnswerHead, FollowerUpdate } from "@ottla/replication";
import type { FollowedReplica } from "./replica-seams.ts";
import { epochOf, parseOutcome, wholeNumber } from "./replicate-fields.ts";

/** One partition of a stream, on the follower's side: what is to be said, and what the leader has told. */
export class FollowedPartition {
  readonly replica: FollowedReplica;
  readonly index: number;
  /** As it was said last: which credit the leader sends its records on. */
  isCatchingUp = false;
  /** A position was asked for on this stream, or is about to be. */
  hasPosition = false;
  #unsaid: FollowerUpdate | undefined;
  #said: FollowerUpdate | undefined;
  #told: AnswerHead | undefined;

  constructor(replica: FollowedReplica, index: number) {
    this.replica = replica;
    this.index = index;
  }

  /** Of several for one message the newest wins; returns false for one that is older than what waits. */
  say(update: FollowerUpdate): boolean {
    const before = this.#unsaid;
    const isOvertaken =
      before !== undefined &&
      (update.leaderEpoch < before.leaderEpoch || update.positionVersion < before.positionVersion);
    if (isOvertaken) return false;
    const position = update.position ?? this.#unsaidPosition(update);
    this.#unsaid = position === undefined ? update : { ...update, position };
    this.hasPosition ||= position !== undefined;
    return true;
  }

  /** Says again what was said last, because which credit it is about has changed. */
  repeat(): boolean {
    if (this.#unsaid !== undefined) return true;
    if (this.#said === undefined) return false;
    const { position: _, ...rest } = this.#said;
    this.#unsaid = rest;
    return true;
  }

  /** What goes into the next message. */
  takeUpdate(): FollowerUpdate | undefined {
    const update = this.#unsaid;
    if (update === undefined) return undefined;
    this.#unsaid = undefined;
    this.#said = update;
    this.isCatchingUp = this.replica.isThrottled;
    return update;
  }

  /** Throws INVALID_REQUEST for what no leader says. */
  answer(answer: LeaderAnswer, chunks: readonly Uint8Array[], release: () => void): void {
    const outcome = parseOutcome(answer);
    if (outcome !== undefined) {
      const head = outcome.kind === "refused" ? this.#headOfRefusal(answer) : this.#head(answer);
      this.replica.onPositionAnswer({ ...head, outcome });
      return;
    }
    const head = this.#head(answer);
    const { logEndOffset } = head;
    if (answer.outcome.case === "records") {
      const baseOffset = wholeNumber("answers.base_offset", answer.outcome.value.baseOffset);
      const nextOffset = wholeNumber("answers.next_offset", answer.outcome.value.nextOffset);
      if (nextOffset <= baseOffset) throw invalidRequest("answers.next_offset", `${nextOffset} is no end`);
      this.replica.onRecords({ ...head, baseOffset, nextOffset }, chunks, release);
      return;
    }
    this.replica.onRecords({ ...head, baseOffset: logEndOffset, nextOffset: logEndOffset }, [], release);
  }

  /** One that was asked for in this message already stays, for the same position. */
  #unsaidPosition(update: FollowerUpdate): FollowerUpdate["position"] {
    const isSame = this.#unsaid?.positionVersion === update.positionVersion;
    return isSame ? this.#unsaid?.position : undefined;
  }

  /** Offsets that an answer leaves out are as they were told before, for the same position. */
  #head(answer: LeaderAnswer): AnswerHead {
    const { leaderEpoch, positionVersion } = headOf(answer);
    const told = this.#told?.positionVersion === positionVersion ? this.#told : undefined;
    const highWatermark = offset("high_watermark", answer.highWatermark, told?.highWatermark);
    const logStartOffset = offset("log_start_offset", answer.logStartOffset, told?.logStartOffset);
    const logEndOffset = Math.max(
      offset("log_end_offset", answer.logEndOffset, told?.logEndOffset),
      highWatermark,
    );
    const head = { leaderEpoch, positionVersion, highWatermark, logStartOffset, logEndOffset };
    this.#told = head;
    return head;
  }

  #headOfRefusal(answer: LeaderAnswer): AnswerHead {
    return { ...headOf(answer), highWatermark: 0, logStartOffset: 0, logEndOffset: 0 };
  }
}

function headOf(answer: LeaderAnswer): Pick<AnswerHead, "leaderEpoch" | "positionVersion"> {
  return {
    leaderEpoch: epochOf("answers.leader_epoch", answer.leaderEpoch),
    positionVersion: wholeNumber("answers.position_version", answer.positionVersion),
  };
}

function offset(field: string, value: bigint | undefined, told: number | undefined): number {
  if (value !== undefined) return wholeNumber(`answers.${field}`, value);
  if (told !== undefined) return told;
  throw invalidRequest(`answers.${field}`, "was never told for this position");
}
