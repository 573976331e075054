import { NOT_APPENDED, OttlaError, toOttlaError } from "@ottla/errors";
import type { AppendAnswer } from "@ottla/proto/ottla/internal/v1/storage";
import type { Clock, Deadline, Deadlines } from "@ottla/runtime";
import type { AppendStream, OutgoingAppend } from "./append-stream.ts";
import type { LeaderNews } from "./leader-news.ts";
import { isSameTerm, type LeaderTerm, type LeaderView, type PartitionPlacement } from "./leader-view.ts";
import type { AppendOptions, AppendOutcome, HeldBytes, PendingAppend } from "./pending-append.ts";
import { followersOf } from "./producer-chain.ts";
import { fromErrorMessage, notAppended, perhapsAppended, retryOfAppend } from "./retry.ts";

export interface PipelineOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly view: LeaderView;
  readonly news: LeaderNews;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly held: HeldBytes;
  readonly streamFor: (nodeId: number) => AppendStream;
  readonly onIdle: () => void;
  readonly onRetry: () => void;
}

/** How much longer than the leader the router waits for what is under way. */
const GRACE_MS = 500;
/** How long a leader that the view has replaced may still answer what it was sent. */
const SUCCESSION_GRACE_MS = 100;
/** For how long appends are tried again that are refused for what may last. */
const LASTING_TROUBLE_MS = 5_000;
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 100;
const MAX_LASTING_BACKOFF_MS = 500;
/** The watch brings news; the store itself is asked at first and now and then. */
const TRIES_PER_REFRESH = 5;
const LONGEST_REFRESH_MS = 2_500;

/**
 * The appends of one partition, in the order they were asked for. When one is refused because
 * the view was stale, later ones wait until all that are under way are answered; then all go out
 * again in order, as soon as the view names another leader, else after a pause. What a replaced leader
 * leaves unanswered is taken back. An append that may not be retried fails, and one that a later
 * append has overtaken fails too rather than change places. With a producer's batch fail those that
 * follow it in the sequence and wait.
 */
export class PartitionPipeline {
  readonly #options: PipelineOptions;
  #appends: PendingAppend[] = [];
  #sent = 0;
  #held = false;
  #retrying = false;
  #tries = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  #maxBackoffMs = MAX_BACKOFF_MS;
  /** To whom the last appends were sent. */
  #term: LeaderTerm | undefined;
  #succession: Deadline | undefined;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  append(options: AppendOptions): Promise<AppendOutcome> {
    return new Promise((resolve, reject) => {
      const { clock, deadlines } = this.#options;
      const pending: PendingAppend = {
        options,
        deadlineMs: clock.monotonic() + options.timeoutMs,
        resolve,
        reject,
        timer: undefined,
        state: "new",
        attempt: 0,
        stream: undefined,
        term: undefined,
        sentAtMs: undefined,
        perhapsStored: false,
        hasLostPredecessor: false,
        refusedSinceMs: undefined,
        error: undefined,
      };
      pending.timer = deadlines.set(options.timeoutMs, () => this.#onDeadline(pending));
      this.#appends.push(pending);
      if (this.#held) this.#queue(pending);
      else this.#dispatch(pending);
      this.#settleIfQuiet();
    });
  }

  /** The view names another leader, or another epoch of it. */
  leaderChanged(): void {
    if (this.#sent === 0 || this.#succession !== undefined) return;
    const successor = this.#placement();
    if (successor === undefined || successor.leader < 0 || isSameTerm(successor, this.#term)) return;
    this.#succession = this.#options.deadlines.set(SUCCESSION_GRACE_MS, () => {
      this.#succession = undefined;
      this.#takeBack();
    });
  }

  /** Fails all that is not answered; whether what was sent took effect is not known. */
  close(reason: OttlaError): void {
    this.#succession?.cancel();
    for (const pending of this.#appends.slice()) {
      if (pending.state === "done") continue;
      this.#fail(pending, pending.state === "sent" ? reason : notAppended(reason.code, reason.message));
    }
  }

  #placement(): PartitionPlacement | undefined {
    const { view, topicId, partition } = this.#options;
    return view.partition(topicId, partition);
  }

  /** Puts a new append behind those that wait already. */
  #queue(pending: PendingAppend): void {
    const { held } = this.#options;
    const sizeBytes = pending.options.batch.length;
    if (held.bytes > 0 && held.bytes + sizeBytes > held.limit) {
      const message = `${held.limit} bytes already wait for leaders that change: slow down`;
      const metadata = { limit: String(held.limit), [NOT_APPENDED]: "true" };
      this.#fail(pending, new OttlaError("THROTTLING_QUOTA_EXCEEDED", message, { metadata }));
      return;
    }
    this.#hold(pending, undefined);
  }

  #dispatch(pending: PendingAppend): void {
    const { topicId, partition, streamFor } = this.#options;
    const placement = this.#placement();
    if (placement === undefined || placement.leader < 0) {
      const name = `partition ${partition} of topic id ${topicId}`;
      const error =
        placement === undefined
          ? notAppended("UNKNOWN_TOPIC_OR_PARTITION", `${name} does not exist`)
          : notAppended("LEADER_NOT_AVAILABLE", `${name} has no leader`);
      this.#hold(pending, error);
      return;
    }
    // A successor must not meet batches whose predecessors may have to follow from the leader before.
    if (this.#sent > 0 && !isSameTerm(placement, this.#term)) {
      this.#hold(pending, notAppended("NOT_LEADER_OR_FOLLOWER", "the leader is changing"));
      this.leaderChanged();
      return;
    }
    const isNew = pending.state === "new";
    try {
      const stream = streamFor(placement.leader);
      stream.enqueue(this.#outgoing(pending, placement));
      this.#unhold(pending);
      pending.state = "sent";
      pending.stream = stream;
      pending.term = placement;
      pending.sentAtMs = undefined;
      this.#term = placement;
      this.#sent += 1;
    } catch (thrown) {
      const error = toOttlaError(thrown);
      // What was taken once is not refused for want of room later: those behind it would overtake it.
      if (isNew) this.#fail(pending, error);
      else this.#hold(pending, error);
    }
  }

  #outgoing(pending: PendingAppend, placement: PartitionPlacement): OutgoingAppend {
    const { options } = pending;
    const { clock } = this.#options;
    pending.attempt += 1;
    const { attempt } = pending;
    const isCurrent = (): boolean => pending.state === "sent" && pending.attempt === attempt;
    return {
      topicId: options.topicId,
      partition: options.partition,
      leaderEpoch: placement.leaderEpoch,
      acks: options.acks,
      timeoutMs: Math.max(1, Math.ceil(pending.deadlineMs - clock.monotonic())),
      expectedEndOffset: options.expectedEndOffset,
      ownerEpoch: options.ownerEpoch,
      beginsOwnership: options.beginsOwnership ?? false,
      validated: options.validated,
      batch: options.batch,
      traceparent: options.traceparent,
      get abandoned() {
        return !isCurrent();
      },
      onSent: () => {
        pending.sentAtMs = clock.monotonic();
      },
      onAnswer: (answer) => {
        if (isCurrent()) this.#onAnswer(pending, answer);
      },
      onLost: (error) => {
        if (isCurrent()) this.#onError(pending, error);
      },
    };
  }

  #onAnswer(pending: PendingAppend, answer: AppendAnswer): void {
    if (answer.error !== undefined) {
      this.#onError(pending, fromErrorMessage(answer.error));
      return;
    }
    this.#sent -= 1;
    this.#tries = 0;
    this.#backoffMs = FIRST_BACKOFF_MS;
    this.#maxBackoffMs = MAX_BACKOFF_MS;
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
    this.#sent -= 1;
    if (error.metadata[NOT_APPENDED] !== "true") this.#failOvertaken(pending);
    if (this.#mayGoAgain(pending, error)) this.#hold(pending, error);
    else this.#fail(pending, error);
    this.#settleIfQuiet();
  }

  #mayGoAgain(pending: PendingAppend, error: OttlaError): boolean {
    if (pending.hasLostPredecessor) return false;
    const { clock } = this.#options;
    const { idempotent } = pending.options;
    // The gap may be our own doing when an earlier batch was refused or got lost: the log has not stored
    // this one, so both go again. Behind no other it is the client's.
    if (error.code === "OUT_OF_ORDER_SEQUENCE_NUMBER") return this.#appends[0] !== pending;
    const replicaCount = this.#placement()?.replicas.length ?? 1;
    const retry = retryOfAppend(error, { idempotent, replicaCount });
    if (retry === "never") return false;
    const isSurelyNot = error.metadata[NOT_APPENDED] === "true" || error.code === "NOT_ENOUGH_REPLICAS";
    pending.perhapsStored ||= !isSurelyNot;
    if (retry === "until deadline") {
      pending.refusedSinceMs = undefined;
      return true;
    }
    this.#maxBackoffMs = MAX_LASTING_BACKOFF_MS;
    pending.refusedSinceMs ??= clock.monotonic();
    return clock.monotonic() - pending.refusedSinceMs < LASTING_TROUBLE_MS;
  }

  /** What the leader before has not answered goes to its successor, or fails where that is not safe. */
  #takeBack(): void {
    const successor = this.#placement();
    for (const pending of this.#appends.slice()) {
      if (pending.state !== "sent" || isSameTerm(pending.term, successor)) continue;
      this.#sent -= 1;
      const wasSent = pending.sentAtMs !== undefined;
      if (wasSent) this.#failOvertaken(pending);
      const message = "the leader changed before it answered";
      pending.perhapsStored ||= wasSent;
      const error = wasSent
        ? new OttlaError("NETWORK_EXCEPTION", message)
        : notAppended("NOT_LEADER_OR_FOLLOWER", message);
      const mayGoAgain = (!wasSent || pending.options.idempotent) && !pending.hasLostPredecessor;
      if (mayGoAgain) this.#hold(pending, error);
      else this.#fail(pending, error);
    }
    this.#settleIfQuiet();
  }

  /**
   * A batch without a sequence that was refused while a later one was stored, or may have been, could change
   * places when sent again.
   */
  #failOvertaken(later: PendingAppend): void {
    if (!this.#held) return;
    const index = this.#appends.indexOf(later);
    for (const earlier of this.#appends.slice(0, index)) {
      if (earlier.state !== "held" || earlier.options.idempotent) continue;
      this.#fail(
        earlier,
        earlier.error ?? notAppended("NOT_LEADER_OR_FOLLOWER", "overtaken by a later batch"),
      );
    }
  }

  #hold(pending: PendingAppend, error: OttlaError | undefined): void {
    if (pending.state !== "held") this.#options.held.bytes += pending.options.batch.length;
    pending.state = "held";
    pending.error = error ?? pending.error;
    this.#held = true;
  }

  #unhold(pending: PendingAppend): void {
    if (pending.state === "held") this.#options.held.bytes -= pending.options.batch.length;
  }

  /** The leader's own answer knows more: it gets a moment to win the race. */
  #onDeadline(pending: PendingAppend): void {
    if (pending.state !== "sent") this.#expire(pending);
    else pending.timer = this.#options.deadlines.set(GRACE_MS, () => this.#expire(pending));
  }

  #expire(pending: PendingAppend): void {
    if (pending.state === "done") return;
    const { timeoutMs } = pending.options;
    const timedOut = new OttlaError(
      "REQUEST_TIMED_OUT",
      `the append was not acknowledged within ${timeoutMs} ms`,
    );
    const { state, stream, sentAtMs } = pending;
    const unsent = notAppended("LEADER_NOT_AVAILABLE", `no leader took the append within ${timeoutMs} ms`);
    if (state === "sent") this.#sent -= 1;
    this.#fail(pending, state === "held" ? (pending.error ?? unsent) : timedOut);
    // The leader would have said by now that it was too late.
    if (state === "sent") stream?.missedAnswer(sentAtMs);
    this.#settleIfQuiet();
  }

  #fail(pending: PendingAppend, error: OttlaError): void {
    const followers = followersOf(pending, this.#appends);
    this.#reject(pending, error);
    // A log that does not know the producer would take a follower in its place (KIP-360), and refuse it for
    // ever: the client sends them all again, in order (R11).
    for (const follower of followers) {
      follower.hasLostPredecessor = true;
      const lost = notAppended("NOT_LEADER_OR_FOLLOWER", "the producer's batch before this one failed");
      if (follower.state === "held") this.#reject(follower, follower.error ?? lost);
    }
  }

  #reject(pending: PendingAppend, error: OttlaError): void {
    this.#finish(pending);
    pending.reject(pending.perhapsStored ? perhapsAppended(error) : error);
  }

  #finish(pending: PendingAppend): void {
    this.#unhold(pending);
    pending.state = "done";
    pending.timer?.cancel();
    if (this.#appends[0] === pending) this.#appends.shift();
    else this.#appends = this.#appends.filter((other) => other !== pending);
  }

  #settleIfQuiet(): void {
    if (this.#sent > 0) return;
    this.#succession?.cancel();
    this.#succession = undefined;
    if (this.#retrying) return;
    if (this.#appends.length === 0) {
      this.#held = false;
      this.#options.onIdle();
    } else if (this.#held) {
      this.#retrying = true;
      void this.#retry();
    }
  }

  async #retry(): Promise<void> {
    const isGone = await this.#untilWorthTrying();
    this.#retrying = false;
    this.#held = false;
    this.#options.onRetry();
    for (const pending of this.#appends.slice()) {
      if (pending.state !== "held") continue;
      if (isGone) {
        const { topicId, partition } = this.#options;
        const message = `partition ${partition} of topic id ${topicId} does not exist`;
        this.#fail(pending, notAppended("UNKNOWN_TOPIC_OR_PARTITION", message));
      } else if (!this.#held) this.#dispatch(pending);
    }
    this.#settleIfQuiet();
  }

  /** Resolves when another leader is known or a pause is over; with true when there is no such partition. */
  async #untilWorthTrying(): Promise<boolean> {
    const { news } = this.#options;
    const tries = this.#tries++;
    const backoffMs = this.#backoffMs;
    this.#backoffMs = Math.min(this.#maxBackoffMs, backoffMs * 2);
    const hasLooked = tries % TRIES_PER_REFRESH === 0 && (await this.#look());
    const placement = this.#placement();
    if (hasLooked && placement === undefined) return true;
    const hasSuccessor = placement !== undefined && placement.leader >= 0;
    if (hasSuccessor && !isSameTerm(placement, this.#term)) return false;
    await news.wait(this.#options, backoffMs);
    return false;
  }

  /** Asks the store, unless news come first. Resolves with whether the store has answered. */
  async #look(): Promise<boolean> {
    const { view, news } = this.#options;
    const done = new AbortController();
    const changed = news.wait(this.#options, LONGEST_REFRESH_MS, done.signal).then(
      () => false,
      () => false,
    );
    const refreshed = view.refresh().then(
      () => true,
      () => false,
    );
    const hasLooked = await Promise.race([refreshed, changed]);
    done.abort();
    return hasLooked;
  }
}
