import { OttlaError, toOttlaError } from "@ottla/errors";
import type { AppendAnswer } from "@ottla/proto/ottla/internal/v1/storage";
import type { Acks } from "@ottla/proto/ottla/v1/record";
import type { Clock, Deadline, Deadlines } from "@ottla/runtime";
import type { AppendStream, OutgoingAppend } from "./append-stream.ts";
import type { LeaderView, PartitionPlacement } from "./leader-view.ts";
import { fromErrorMessage, mayRetryAppend, notAppended } from "./retry.ts";

/** One batch to append, and how. */
export interface AppendOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly batch: Uint8Array;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly expectedEndOffset?: number;
  /** The caller has checked length, magic and CRC. */
  readonly validated: boolean;
  /** The batch carries a producer id and a sequence, so that the log recognises a second copy of it. */
  readonly idempotent: boolean;
}

export interface AppendOutcome {
  /** -1 with ACKS_NONE. */
  readonly baseOffset: number;
  /** -1 unless the topic's timestamps are LogAppendTime. */
  readonly logAppendTimeMs: number;
  readonly logStartOffset: number;
}

export interface PipelineOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly view: LeaderView;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly streamFor: (nodeId: number) => AppendStream;
  readonly onIdle: () => void;
  readonly onRetry: () => void;
}

/** How much longer than the leader the router waits, so that the leader's own answer wins the race. */
const GRACE_MS = 500;
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 400;

interface PendingAppend {
  readonly options: AppendOptions;
  readonly deadlineMs: number;
  readonly resolve: (outcome: AppendOutcome) => void;
  readonly reject: (error: OttlaError) => void;
  timer: Deadline | undefined;
  state: "held" | "sent" | "done";
  /** Why it was refused or lost the last time. */
  error: OttlaError | undefined;
}

/**
 * The appends of one partition, in the order they were asked for. When one is refused because
 * the view was stale, later ones wait until all that are under way are answered; then the
 * view is refreshed and all go out again in order. An append that may not be retried fails,
 * and one that a later append has overtaken fails too rather than change places.
 */
export class PartitionPipeline {
  readonly #options: PipelineOptions;
  #appends: PendingAppend[] = [];
  #sent = 0;
  #held = false;
  #retrying = false;
  #backoffMs = FIRST_BACKOFF_MS;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  append(options: AppendOptions): Promise<AppendOutcome> {
    return new Promise((resolve, reject) => {
      const { clock, deadlines } = this.#options;
      const waitMs = options.timeoutMs + GRACE_MS;
      const deadlineMs = clock.monotonic() + waitMs;
      const pending: PendingAppend = {
        options,
        deadlineMs,
        resolve,
        reject,
        timer: undefined,
        state: "held",
        error: undefined,
      };
      pending.timer = deadlines.set(waitMs, () => this.#expire(pending));
      this.#appends.push(pending);
      if (this.#held) return;
      this.#dispatch(pending);
      this.#settleIfQuiet();
    });
  }

  /** Fails all that is not answered; whether what was sent took effect is not known. */
  close(reason: OttlaError): void {
    for (const pending of this.#appends.slice()) {
      this.#fail(pending, pending.state === "sent" ? reason : notAppended(reason.code, reason.message));
    }
  }

  #dispatch(pending: PendingAppend): void {
    const { view, topicId, partition, streamFor } = this.#options;
    const placement = view.partition(topicId, partition);
    if (placement === undefined || placement.leader < 0) {
      pending.error = notAppended(
        placement === undefined ? "UNKNOWN_TOPIC_OR_PARTITION" : "LEADER_NOT_AVAILABLE",
        placement === undefined
          ? `partition ${partition} of topic id ${topicId} does not exist`
          : `partition ${partition} of topic id ${topicId} has no leader`,
      );
      this.#hold(pending);
      return;
    }
    try {
      streamFor(placement.leader).enqueue(this.#outgoing(pending, placement));
      pending.state = "sent";
      this.#sent += 1;
    } catch (thrown) {
      this.#fail(pending, toOttlaError(thrown));
    }
  }

  #outgoing(pending: PendingAppend, placement: PartitionPlacement): OutgoingAppend {
    const { options } = pending;
    return {
      topicId: options.topicId,
      partition: options.partition,
      leaderEpoch: placement.leaderEpoch,
      acks: options.acks,
      timeoutMs: Math.max(1, Math.ceil(pending.deadlineMs - GRACE_MS - this.#options.clock.monotonic())),
      expectedEndOffset: options.expectedEndOffset,
      validated: options.validated,
      batch: options.batch,
      get abandoned() {
        return pending.state === "done";
      },
      onAnswer: (answer) => this.#onAnswer(pending, answer),
      onLost: (error) => this.#onError(pending, error),
    };
  }

  #onAnswer(pending: PendingAppend, answer: AppendAnswer): void {
    if (answer.error !== undefined) {
      this.#onError(pending, fromErrorMessage(answer.error));
      return;
    }
    if (pending.state !== "sent") return;
    this.#sent -= 1;
    this.#backoffMs = FIRST_BACKOFF_MS;
    this.#failOvertaken(pending);
    this.#finish(pending);
    pending.resolve({
      baseOffset: Number(answer.baseOffset),
      logAppendTimeMs: Number(answer.logAppendTimeMs),
      logStartOffset: Number(answer.logStartOffset),
    });
    this.#settleIfQuiet();
  }

  #onError(pending: PendingAppend, error: OttlaError): void {
    if (pending.state !== "sent") return;
    this.#sent -= 1;
    const { idempotent } = pending.options;
    // The gap is our own doing when an earlier batch was refused: the log has not stored
    // this one, so both go again.
    const behindHeld =
      error.code === "OUT_OF_ORDER_SEQUENCE_NUMBER" && this.#appends.some((other) => other.state === "held");
    if (behindHeld || mayRetryAppend(error, idempotent)) {
      pending.error = error;
      this.#hold(pending);
    } else {
      this.#fail(pending, error);
    }
    this.#settleIfQuiet();
  }

  /**
   * A batch without a sequence that was refused while a later one was stored would change
   * places when sent again.
   */
  #failOvertaken(successful: PendingAppend): void {
    if (!this.#held) return;
    const index = this.#appends.indexOf(successful);
    for (const earlier of this.#appends.slice(0, index)) {
      if (earlier.state !== "held" || earlier.options.idempotent) continue;
      this.#fail(
        earlier,
        earlier.error ?? notAppended("NOT_LEADER_OR_FOLLOWER", "overtaken by a later batch"),
      );
    }
  }

  #hold(pending: PendingAppend): void {
    pending.state = "held";
    this.#held = true;
  }

  #expire(pending: PendingAppend): void {
    if (pending.state === "done") return;
    if (pending.state === "sent") this.#sent -= 1;
    const timedOut = new OttlaError(
      "REQUEST_TIMED_OUT",
      `the append was not acknowledged within ${pending.options.timeoutMs} ms`,
    );
    this.#fail(pending, pending.state === "held" ? (pending.error ?? timedOut) : timedOut);
    this.#settleIfQuiet();
  }

  #fail(pending: PendingAppend, error: OttlaError): void {
    this.#finish(pending);
    pending.reject(error);
  }

  #finish(pending: PendingAppend): void {
    pending.state = "done";
    pending.timer?.cancel();
    if (this.#appends[0] === pending) this.#appends.shift();
    else this.#appends = this.#appends.filter((other) => other !== pending);
  }

  #settleIfQuiet(): void {
    if (this.#sent > 0 || this.#retrying) return;
    if (this.#appends.length === 0) {
      this.#held = false;
      this.#options.onIdle();
    } else if (this.#held) {
      this.#retrying = true;
      void this.#retry();
    }
  }

  async #retry(): Promise<void> {
    const { clock, view, topicId, partition, onRetry } = this.#options;
    const backoffMs = this.#backoffMs;
    this.#backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2);
    let refreshed = true;
    await view.refresh().catch(() => {
      refreshed = false;
    });
    const gone = refreshed && view.partition(topicId, partition) === undefined;
    if (!gone) await clock.sleep(backoffMs).catch(() => undefined);
    this.#retrying = false;
    this.#held = false;
    onRetry();
    for (const pending of this.#appends.slice()) {
      if (pending.state !== "held") continue;
      if (gone) {
        const message = `partition ${partition} of topic id ${topicId} does not exist`;
        this.#fail(pending, notAppended("UNKNOWN_TOPIC_OR_PARTITION", message));
      } else if (!this.#held) this.#dispatch(pending);
    }
    this.#settleIfQuiet();
  }
}
