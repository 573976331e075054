import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError, toOttlaError } from "@ottla/errors";
import type {
  LeaderAnswer,
  LeaderHello,
  ReplicateRequestSchema,
  ReplicateResponse,
} from "@ottla/proto/ottla/internal/v1/replication";
import type { FollowerUpdate } from "@ottla/replication";
import type { ClientStream } from "@ottla/rpc";
import type { Clock, Timer } from "@ottla/runtime";
import type { CatchUpThrottle } from "./catch-up-throttle.ts";
import { FollowedPartition } from "./followed-partition.ts";
import type { ReceiveWindow } from "./receive-window.ts";
import type { FollowedReplica } from "./replica-seams.ts";
import { updateFields, wholeNumber } from "./replicate-fields.ts";
import type { ReplicationMetrics } from "./replication-metrics.ts";

type RequestInit = MessageInitShape<typeof ReplicateRequestSchema>;

export type ReplicateCall = ClientStream<RequestInit, ReplicateResponse>;

/** The two nodes of a stream, each as registered. */
export interface StreamEnds {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly leaderNodeId: number;
  readonly leaderNodeEpoch: number;
}

export interface ReceiveWindows {
  readonly inSync: ReceiveWindow;
  readonly catchingUp: ReceiveWindow;
}

export interface FollowerSessionOptions {
  readonly stream: ReplicateCall;
  readonly ends: StreamEnds;
  readonly windows: ReceiveWindows;
  readonly throttle: CatchUpThrottle;
  /** When a stream that does not stand yet is given up. */
  readonly helloTimeoutMs: number;
  readonly clock: Clock;
  readonly metrics: ReplicationMetrics;
  /** The leader's node has said its hello. */
  readonly onStanding: () => void;
  /** Called once, unless this side closes it. */
  readonly onEnded: (reason: OttlaError) => void;
}

/**
 * One stream to the node of leaders, on the follower's side. What is to be said in one turn of the event loop
 * travels together, and waits while the stream is full: of one partition, only the newest.
 */
export class FollowerSession {
  readonly #options: FollowerSessionOptions;
  readonly #members = new Map<FollowedReplica, FollowedPartition>();
  readonly #byIndex = new Map<number, FollowedPartition>();
  /** No room is left for them in the session. */
  readonly #waiting = new Set<FollowedReplica>();
  #maxPartitions = 0;
  #helloTimer: Timer | undefined;
  #nextIndex = 0;
  #joins = new Set<FollowedPartition>();
  #leaves: number[] = [];
  #updated = new Set<FollowedPartition>();
  readonly #catchingUp = new Set<FollowedPartition>();
  #flushScheduled = false;
  #blocked = false;
  #ended = false;
  readonly #onTokens = (): void => this.#scheduleFlush();

  constructor(options: FollowerSessionOptions) {
    this.#options = options;
  }

  /** Whether the leader's node has answered the hello. */
  get isStanding(): boolean {
    return this.#maxPartitions > 0;
  }

  start(): void {
    const { clock, ends, helloTimeoutMs, stream, windows } = this.#options;
    windows.inSync.restart();
    windows.catchingUp.restart();
    const creditBytes = windows.inSync.wantedBytes;
    windows.inSync.grant(creditBytes);
    stream.send({
      hello: {
        clusterId: ends.clusterId,
        nodeId: ends.nodeId,
        nodeEpoch: BigInt(ends.nodeEpoch),
        leaderNodeId: ends.leaderNodeId,
        leaderNodeEpoch: BigInt(ends.leaderNodeEpoch),
      },
      creditBytes: BigInt(creditBytes),
    });
    this.#helloTimer = clock.setTimer(helloTimeoutMs, () => this.#notAnswered(), { background: true });
    void this.#receiveAll();
  }

  /** For a stream that stands. */
  join(replica: FollowedReplica): void {
    if (this.#members.size >= this.#maxPartitions) {
      this.#waiting.add(replica);
      return;
    }
    const member = new FollowedPartition(replica, this.#nextIndex);
    this.#nextIndex += 1;
    this.#members.set(replica, member);
    this.#byIndex.set(member.index, member);
    this.#joins.add(member);
    this.#scheduleFlush();
  }

  leave(replica: FollowedReplica): void {
    this.#waiting.delete(replica);
    const member = this.#members.get(replica);
    if (member === undefined) return;
    this.#members.delete(replica);
    this.#byIndex.delete(member.index);
    this.#updated.delete(member);
    this.#catchingUp.delete(member);
    if (!this.#joins.delete(member)) this.#leaves.push(member.index);
    const [next] = this.#waiting;
    if (next !== undefined) {
      this.#waiting.delete(next);
      this.join(next);
    }
    this.#scheduleFlush();
  }

  sendUpdate(replica: FollowedReplica, update: FollowerUpdate): void {
    const member = this.#members.get(replica);
    if (member === undefined || update.nodeEpoch !== this.#options.ends.nodeEpoch) return;
    if (!member.say(update)) return;
    this.#updated.add(member);
    this.#scheduleFlush();
  }

  /** A replica that has joined the ISR must not wait for the throttle, even when it has nothing to say. */
  termChanged(replica: FollowedReplica): void {
    const member = this.#members.get(replica);
    if (member === undefined || member.isCatchingUp === replica.isThrottled || !member.repeat()) return;
    this.#updated.add(member);
    this.#scheduleFlush();
  }

  /** There may be bytes to grant. */
  creditChanged(): void {
    const { catchingUp, inSync } = this.#options.windows;
    const feedsCatchUp = this.#catchingUp.size > 0 && catchingUp.isWorthGranting;
    if (inSync.isWorthGranting || feedsCatchUp) this.#scheduleFlush();
  }

  /** Ends the stream from this side; nothing is called any more. */
  close(): void {
    if (this.#ended) return;
    this.#finish();
    this.#options.stream.cancel();
  }

  /** The call went astray, or the node does nothing though its connection lives. */
  #notAnswered(): void {
    const { ends, helloTimeoutMs } = this.#options;
    const message = `storage node ${ends.leaderNodeId} has said no hello for ${helloTimeoutMs} ms`;
    this.#giveUp(new OttlaError("REQUEST_TIMED_OUT", message));
  }

  #giveUp(reason: OttlaError): void {
    if (this.#ended) return;
    this.close();
    this.#options.onEnded(reason);
  }

  #finish(): void {
    this.#ended = true;
    this.#helloTimer?.cancel();
    this.#options.throttle.stopWaiting(this.#onTokens);
  }

  async #receiveAll(): Promise<void> {
    const { ends, stream } = this.#options;
    let reason = new OttlaError("NETWORK_EXCEPTION", `storage node ${ends.leaderNodeId} ended the stream`);
    try {
      for await (const response of stream.received) {
        if (this.#ended) return;
        this.#receive(response);
      }
    } catch (thrown) {
      reason = toOttlaError(thrown);
    }
    this.#giveUp(reason);
  }

  #receive({ answers, batches, hello }: ReplicateResponse): void {
    if (!this.isStanding) this.#begin(hello);
    else if (hello !== undefined) throw invalidRequest("hello", "stands in the first message only");
    let taken = 0;
    for (const answer of answers) {
      const chunkCount = answer.outcome.case === "records" ? answer.outcome.value.chunkCount : 0;
      if (chunkCount < 0 || taken + chunkCount > batches.length) {
        throw invalidRequest("answers.chunk_count", `${chunkCount} chunks are not there`);
      }
      const chunks = chunkCount === 0 ? [] : batches.slice(taken, taken + chunkCount);
      taken += chunkCount;
      this.#answer(answer, chunks);
    }
    if (taken < batches.length)
      throw invalidRequest("batches", `${batches.length - taken} belong to no answer`);
  }

  #begin(hello: LeaderHello | undefined): void {
    const { leaderNodeEpoch, leaderNodeId } = this.#options.ends;
    if (hello === undefined) throw invalidRequest("hello", "the first message has none");
    const nodeEpoch = wholeNumber("hello.node_epoch", hello.nodeEpoch);
    if (hello.nodeId !== leaderNodeId || nodeEpoch !== leaderNodeEpoch) {
      throw invalidRequest(
        "hello",
        `storage node ${hello.nodeId} as of ${nodeEpoch} answered instead of ` +
          `node ${leaderNodeId} as of ${leaderNodeEpoch}`,
      );
    }
    if (hello.maxPartitions < 1) throw invalidRequest("hello.max_partitions", "must be at least 1");
    this.#helloTimer?.cancel();
    this.#maxPartitions = hello.maxPartitions;
    this.#options.onStanding();
    this.creditChanged();
  }

  #answer(answer: LeaderAnswer, chunks: readonly Uint8Array[]): void {
    const release = this.#takeBytes(answer, chunks);
    const member = this.#byIndex.get(answer.index);
    try {
      // What was on its way when the partition left is nobody's fault.
      const hasLeft = member === undefined && answer.index >= 0 && answer.index < this.#nextIndex;
      if (member !== undefined) member.answer(answer, chunks, release);
      else if (hasLeft) release();
      else throw invalidRequest("answers.index", `${answer.index} is not in the session`);
    } catch (thrown) {
      release();
      throw thrown;
    }
  }

  /** Counts what came against what was granted; returns what gives it back. */
  #takeBytes({ outcome }: LeaderAnswer, chunks: readonly Uint8Array[]): () => void {
    if (outcome.case !== "records") return () => undefined;
    const { metrics, windows } = this.#options;
    let sizeBytes = 0;
    for (const chunk of chunks) sizeBytes += chunk.length;
    if (sizeBytes === 0) throw invalidRequest("answers.records", "have no bytes");
    const { catchingUp } = outcome.value;
    const window = catchingUp ? windows.catchingUp : windows.inSync;
    if (!window.receive(sizeBytes)) {
      throw invalidRequest("answers.records", `${sizeBytes} bytes came on no credit`);
    }
    metrics.countReceived(sizeBytes, catchingUp);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      window.release(sizeBytes);
    };
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#blocked || this.#ended || !this.isStanding) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#blocked || this.#ended) return;
    // Whoever joined and has not asked for a position by itself is told that it can now.
    for (const member of this.#joins) if (!member.hasPosition) member.replica.onConnected();
    const message = this.#nextMessage();
    if (message === undefined) return;
    const { stream } = this.#options;
    if (stream.send(message)) return;
    this.#blocked = true;
    stream.drained().then(
      () => {
        this.#blocked = false;
        this.#flush();
      },
      // The loop over `received` fails with the same error.
      () => undefined,
    );
  }

  #nextMessage(): RequestInit | undefined {
    const joins = [...this.#joins].map(({ index, replica: { topicId, partition } }) => ({
      index,
      topicId,
      partition,
    }));
    const leaves = this.#leaves;
    const updates = [...this.#updated].flatMap((member) => this.#updateOf(member));
    this.#joins.clear();
    this.#leaves = [];
    this.#updated.clear();
    const { inSync } = this.#options.windows;
    const creditBytes = inSync.wantedBytes;
    const catchUpBytes = this.#catchUpBytes();
    const isEmpty = joins.length === 0 && leaves.length === 0 && updates.length === 0;
    if (isEmpty && !inSync.isWorthGranting && catchUpBytes === 0) return undefined;
    inSync.grant(creditBytes);
    return {
      joins,
      leaves,
      updates,
      creditBytes: BigInt(creditBytes),
      catchUpCreditBytes: BigInt(catchUpBytes),
    };
  }

  #updateOf(member: FollowedPartition): ReturnType<typeof updateFields>[] {
    const update = member.takeUpdate();
    if (update === undefined) return [];
    if (member.isCatchingUp) this.#catchingUp.add(member);
    else this.#catchingUp.delete(member);
    return [updateFields(member.index, update, member.isCatchingUp)];
  }

  #catchUpBytes(): number {
    const { throttle, windows } = this.#options;
    const window = windows.catchingUp;
    // A leader that has nothing to send on it would keep from others what the throttle allows.
    if (this.#catchingUp.size === 0 || !window.isWorthGranting) return 0;
    const bytes = throttle.take(window.wantedBytes);
    window.grant(bytes);
    if (window.isWorthGranting) throttle.wait(this.#onTokens);
    return bytes;
  }
}
