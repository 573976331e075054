import { OttlaError } from "@ottla/errors";
import { FrameReader, readRequestHeader } from "@ottla/kafka-protocol";
import type { Clock, Connection } from "@ottla/runtime";
import type { KafkaDispatcher, PreparedRequest } from "./dispatcher.ts";
import { FrameSplitter } from "./frame-splitter.ts";
import type { KafkaConnectionState } from "./handler.ts";
import { type AnswerSent, ReplyQueue } from "./reply-queue.ts";
import type { RequestHolder, RequestMemory } from "./request-memory.ts";

/** Elements in all arrays of one request: few bytes of a frame become an object of hundreds. */
const MAX_REQUEST_ELEMENTS = 300_000;
/** So many looks, while memory for requests is short, may find a connection at a standstill. */
const MAX_STANDSTILL_LOOKS = 3;

export interface KafkaConnectionLimits {
  /** The largest request: Kafka's socket.request.max.bytes. */
  readonly maxRequestBytes: number;
  /** Requests of one connection that are not answered; further ones wait in the socket. */
  readonly maxUnansweredRequests: number;
  /** Bytes of unanswered requests of one connection; beyond it the socket is not read. */
  readonly maxUnansweredBytes: number;
  /** A connection that is silent for so long is closed: Kafka's connections.max.idle.ms. */
  readonly idleTimeoutMs: number;
}

export interface KafkaConnectionOptions {
  readonly id: number;
  readonly connection: Connection;
  readonly dispatcher: KafkaDispatcher;
  readonly limits: KafkaConnectionLimits;
  /** The bytes of requests that all connections hold together. */
  readonly memory: RequestMemory;
  readonly clock: Clock;
  /** Called once, when the connection is over; with the reason when it is worth a log line. */
  readonly onClosed: (reason: OttlaError | undefined) => void;
}

interface WaitingRequest {
  readonly request: PreparedRequest;
  readonly frameBytes: number;
}

/**
 * One client's connection. Requests begin in order: a pipelined one (Produce) as soon as
 * all before it have begun, any other when all before it are answered. Answers leave in
 * the order of the requests. Reading stops while too much is unanswered or while the
 * client does not take its answers, so that neither costs memory without bound.
 */
export class KafkaConnection implements RequestHolder {
  readonly #options: KafkaConnectionOptions;
  readonly #connection: Connection;
  readonly #splitter: FrameSplitter;
  readonly #replies: ReplyQueue;
  readonly #state: KafkaConnectionState;
  readonly #abort = new AbortController();
  readonly #hurry = new AbortController();
  readonly #waiting: WaitingRequest[] = [];
  #running = 0;
  #runningExclusively = false;
  #unansweredBytes = 0;
  /** What `memory` knows of. */
  #accountedBytes = 0;
  #standstillLooks = 0;
  #lastActivityMs: number;
  #isPaused = false;
  #isBlocked = false;
  #peerEnded = false;
  #isDraining = false;
  #isBroken = false;
  #isOver = false;
  readonly #onClosedCallbacks: (() => void)[] = [];
  /** What to call when the client has taken the answers that are written. */
  readonly #untaken: AnswerSent[] = [];
  #failure: OttlaError | undefined;

  constructor(options: KafkaConnectionOptions) {
    this.#options = options;
    this.#connection = options.connection;
    this.#splitter = new FrameSplitter(options.limits.maxRequestBytes);
    this.#replies = new ReplyQueue((pieces, onSent) => this.#write(pieces, onSent));
    this.#lastActivityMs = options.clock.monotonic();
    this.#state = {
      id: options.id,
      localAddress: options.connection.localAddress,
      localPort: options.connection.localPort,
      attachments: new Map(),
      onClosed: (callback) => {
        if (this.#isOver) callback();
        else this.#onClosedCallbacks.push(callback);
      },
    };
  }

  start(): void {
    this.#options.memory.join(this);
    this.#connection.start({
      onData: (chunk) => this.#onData(chunk),
      onDrain: () => this.#onDrain(),
      onEnd: () => this.#onEnd(),
      onClose: () => this.#onClose(),
    });
    this.#adjustReading();
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }

  /**
   * Closes the connection when nothing has moved on it for the idle timeout; a client
   * that never takes its answers is idle too.
   */
  closeIfIdle(nowMs: number): void {
    if (this.#isAtStandstill()) return this.close(standstill());
    if (this.#replies.unanswered > 0) return;
    if (nowMs - this.#lastActivityMs >= this.#options.limits.idleTimeoutMs) this.close();
  }

  onReadingChanged(): void {
    this.#adjustReading();
  }

  /** Takes no further requests and ends when all that began are answered. */
  drain(): void {
    this.#isDraining = true;
    this.#dropUnbegun();
    this.#hurry.abort();
    this.#adjustReading();
    this.#endIfDone();
  }

  /** Drops the connection; `reason` is given to `onClosed`. */
  close(reason?: OttlaError): void {
    this.#failure ??= reason;
    this.#connection.destroy();
  }

  #onData(chunk: Uint8Array): void {
    if (this.#isOver || this.#isDraining || this.#isBroken) return;
    this.#lastActivityMs = this.#options.clock.monotonic();
    try {
      this.#splitter.push(chunk, (frame) => this.#onFrame(frame));
    } catch (error) {
      this.#breakAfterWaiting(error);
    }
    this.#startWaiting();
    this.#account();
    this.#adjustReading();
  }

  /** What cannot be understood ends the connection, but only after the answers to what came before it. */
  #breakAfterWaiting(error: unknown): void {
    this.#isBroken = true;
    this.#splitter.clear();
    this.#hurry.abort();
    const refuse: PreparedRequest = {
      pipelined: false,
      run: async () => {
        throw error;
      },
      onSent: () => undefined,
    };
    this.#waiting.push({ request: refuse, frameBytes: 0 });
  }

  #onFrame(frame: Uint8Array): void {
    const reader = new FrameReader(frame, 0, frame.byteLength, MAX_REQUEST_ELEMENTS);
    const header = readRequestHeader(reader);
    const request = this.#options.dispatcher.prepare(header, reader, {
      peer: this.remoteAddress,
      connection: this.#state,
      signal: this.#abort.signal,
      hurry: this.#hurry.signal,
    });
    this.#standstillLooks = 0;
    this.#unansweredBytes += frame.byteLength;
    this.#waiting.push({ request, frameBytes: frame.byteLength });
  }

  /** Nothing begins while the client does not take its answers: each could be as large as a fetch may be. */
  #startWaiting(): void {
    while (!this.#isOver && !this.#runningExclusively && !this.#isBlocked) {
      const next = this.#waiting[0];
      if (next === undefined) return;
      if (this.#running > 0 && !next.request.pipelined) return;
      this.#waiting.shift();
      this.#run(next);
    }
  }

  #run({ request, frameBytes }: WaitingRequest): void {
    const slot = this.#replies.open((isTaken) => request.onSent(isTaken));
    this.#running++;
    this.#runningExclusively = !request.pipelined;
    const finish = (pieces: readonly Uint8Array[] | undefined): void => {
      this.#running--;
      if (!request.pipelined) this.#runningExclusively = false;
      this.#unansweredBytes -= frameBytes;
      this.#account();
      slot.settle(pieces);
      if (this.#isOver) return;
      this.#startWaiting();
      this.#adjustReading();
      this.#endIfDone();
    };
    request.run().then(finish, (error: unknown) => {
      this.#fail(error);
      finish(undefined);
    });
  }

  #write(pieces: readonly Uint8Array[], onSent: readonly AnswerSent[]): void {
    if (!this.#isOver && pieces.length > 0) {
      this.#lastActivityMs = this.#options.clock.monotonic();
      this.#isBlocked = !this.#connection.write(pieces);
    }
    for (const callback of onSent) this.#untaken.push(callback);
    if (!this.#isBlocked) this.#answersTaken();
  }

  #answersTaken(): void {
    const isTaken = !this.#isOver && this.#connection.queuedBytes === 0;
    for (const callback of this.#untaken.splice(0)) callback(isTaken);
  }

  #onDrain(): void {
    this.#lastActivityMs = this.#options.clock.monotonic();
    this.#isBlocked = false;
    this.#standstillLooks = 0;
    this.#answersTaken();
    this.#startWaiting();
    this.#adjustReading();
  }

  /** Requests that have not begun, whole or not, never will. */
  #dropUnbegun(): void {
    for (const { frameBytes } of this.#waiting) this.#unansweredBytes -= frameBytes;
    this.#waiting.length = 0;
    this.#splitter.clear();
    this.#account();
  }

  #account(): void {
    const { partialBytes } = this.#splitter;
    const heldBytes = this.#unansweredBytes + partialBytes;
    this.#options.memory.account(this, heldBytes - this.#accountedBytes, partialBytes > 0);
    this.#accountedBytes = heldBytes;
  }

  /**
   * While memory for requests is short, others wait for what this client does not send, or does not take.
   */
  #isAtStandstill(): boolean {
    const isSending = this.#splitter.partialBytes > 0 && !this.#isPaused;
    const isHolding = this.#isBlocked && this.#accountedBytes > 0;
    if (!this.#options.memory.isFull || !(isSending || isHolding)) this.#standstillLooks = 0;
    else this.#standstillLooks++;
    return this.#standstillLooks > MAX_STANDSTILL_LOOKS;
  }

  #adjustReading(): void {
    const { maxUnansweredBytes, maxUnansweredRequests } = this.#options.limits;
    const unanswered = this.#replies.unanswered + this.#waiting.length;
    const isFull = unanswered >= maxUnansweredRequests || this.#unansweredBytes >= maxUnansweredBytes;
    const mayRead = this.#options.memory.mayRead(this);
    const isHeld = isFull || !mayRead || this.#isBlocked || this.#isBroken;
    // While it drains, what comes is thrown away, and read all the same: the client's end lies behind it.
    const shouldPause = isHeld && !this.#isDraining;
    if (shouldPause === this.#isPaused || this.#isOver) return;
    this.#isPaused = shouldPause;
    if (shouldPause) this.#connection.pause();
    else this.#connection.resume();
  }

  #onEnd(): void {
    this.#peerEnded = true;
    // It may be gone altogether, which is seen only when something is written: nothing waits for long for it.
    this.#hurry.abort();
    this.#endIfDone();
  }

  /** A client that has sent its last request still gets the answers to all of them. */
  #endIfDone(): void {
    const isLast = this.#peerEnded || this.#isDraining;
    if (isLast && this.#replies.unanswered === 0 && this.#waiting.length === 0) this.#connection.end();
  }

  #fail(error: unknown): void {
    const reason =
      error instanceof OttlaError
        ? error
        : new OttlaError("UNKNOWN_SERVER_ERROR", String(error), { cause: error });
    this.close(reason);
  }

  #onClose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isBlocked = false;
    this.#options.memory.leave(this);
    this.#dropUnbegun();
    this.#abort.abort();
    this.#hurry.abort();
    this.#answersTaken();
    for (const callback of this.#onClosedCallbacks) callback();
    this.#options.onClosed(this.#failure);
  }
}

function standstill(): OttlaError {
  const message = "kafka.max-total-request-bytes is used up, and this client has been at a standstill";
  return new OttlaError("REQUEST_TIMED_OUT", message);
}
