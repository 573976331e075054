import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError } from "@ottla/errors";
import type {
  PartitionJoin,
  ReplicateRequest,
  ReplicateResponseSchema,
  FollowerUpdate as UpdateMessage,
} from "@ottla/proto/ottla/internal/v1/replication";
import type { FollowerUpdate } from "@ottla/replication";
import { BytesInPieces, type MessageStream } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { type AnswerInit, parseUpdate, wholeNumber } from "./replicate-fields.ts";
import type { ReplicationMetrics } from "./replication-metrics.ts";
import { type ReadRecords, SendingLane } from "./sending-lane.ts";
import { type PartitionSender, type Sending, SentPartition } from "./sent-partition.ts";

type ResponseInit = MessageInitShape<typeof ReplicateResponseSchema>;

export type ReplicateStream = MessageStream<ResponseInit, ReplicateRequest>;

/** Bounds of what one follower's stream costs its leader's node. */
export interface SendingLimits {
  /** How many partitions may be in one stream. */
  readonly maxPartitions: number;
  /** What is read of one partition before it is the next one's turn. */
  readonly maxReadBytes: number;
  /** How many reads run at once for a stream; as many again for partitions that catch up. */
  readonly maxConcurrentReads: number;
  /** No message grows much beyond this. */
  readonly maxMessageBytes: number;
}

export interface LeaderSessionOptions {
  readonly stream: Pick<ReplicateStream, "send" | "drained">;
  /** What comes after the first message. */
  readonly requests: AsyncIterator<ReplicateRequest>;
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly limits: SendingLimits;
  readonly clock: Clock;
  readonly metrics: ReplicationMetrics;
  readonly onUpdate: (partition: SentPartition, update: FollowerUpdate) => void;
  readonly onReadFailed: (partition: SentPartition, sending: Sending, error: OttlaError) => void;
  readonly onLeft: (partition: SentPartition) => void;
}

/** So much for replicas in sync, then a piece for one that catches up: else it might never get there. */
const IN_SYNC_BYTES_IN_A_ROW = 8 * 1024 * 1024;

/**
 * The stream of one follower's node, on the side of the leader's node. What it says of all partitions during
 * one turn of the event loop travels together: verdicts on positions, records, then offsets that moved.
 */
export class LeaderSession implements PartitionSender {
  readonly nodeId: number;
  readonly nodeEpoch: number;
  readonly #options: LeaderSessionOptions;
  readonly #partitions = new Map<number, SentPartition>();
  readonly #byKey = new Map<string, SentPartition>();
  readonly #inSync: SendingLane;
  readonly #catchingUp: SendingLane;
  readonly #endedEarly = Promise.withResolvers<never>();
  #lastIndex = -1;
  #answers: AnswerInit[] = [];
  /** Their offsets may have moved. */
  #news = new Set<SentPartition>();
  /** Sent since the last that was for a replica that catches up. */
  #inSyncBytes = 0;
  #flushScheduled = false;
  #blocked = false;
  #ended = false;

  constructor(options: LeaderSessionOptions) {
    this.#options = options;
    this.nodeId = options.nodeId;
    this.nodeEpoch = options.nodeEpoch;
    // It may be called before, or after, anyone listens.
    this.#endedEarly.promise.catch(() => undefined);
    const { maxConcurrentReads, maxReadBytes } = options.limits;
    const lane = (isCatchingUp: boolean): SendingLane =>
      new SendingLane({
        isCatchingUp,
        maxReadBytes,
        maxConcurrentReads,
        mayRead: () => !this.#blocked && !this.#ended,
        onRecords: () => this.#scheduleFlush(),
        onReadFailed: options.onReadFailed,
      });
    this.#inSync = lane(false);
    this.#catchingUp = lane(true);
  }

  /** Serves until the follower ends its side, says what no follower says, or `end` is called. */
  async run(first: ReplicateRequest): Promise<void> {
    try {
      this.#receive(first);
      await Promise.race([this.#receiveAll(), this.#endedEarly.promise]);
    } finally {
      this.#ended = true;
      this.#inSync.close();
      this.#catchingUp.close();
      for (const partition of this.#partitions.values()) this.#forget(partition);
      this.#partitions.clear();
    }
  }

  end(reason: OttlaError): void {
    this.#endedEarly.reject(reason);
  }

  find(topicId: string, partition: number): SentPartition | undefined {
    return this.#byKey.get(keyOf(topicId, partition));
  }

  answer(_partition: SentPartition, fields: AnswerInit): void {
    if (this.#ended) return;
    // While the stream is full a follower has nothing to ask again and again for.
    const limit = 2 * this.#options.limits.maxPartitions;
    if (this.#answers.length >= limit) {
      this.end(new OttlaError("THROTTLING_QUOTA_EXCEEDED", `${limit} answers wait for the follower already`));
      return;
    }
    this.#answers.push(fields);
    this.#scheduleFlush();
  }

  changed(partition: SentPartition): void {
    if (this.#ended || partition.sending === undefined) return;
    if (partition.isCatchingUp && this.#isAwaited(partition)) this.#changeLane(partition, false);
    this.#news.add(partition);
    this.#laneOf(partition).queue(partition);
    this.#scheduleFlush();
  }

  async #receiveAll(): Promise<void> {
    const { requests } = this.#options;
    for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
      if (!this.#ended) this.#receive(next.value);
    }
  }

  #receive(request: ReplicateRequest): void {
    // In this order: an update may be about a partition that joins in the same message.
    for (const index of request.leaves) this.#leave(index);
    for (const join of request.joins) this.#join(join);
    for (const update of request.updates) this.#update(update);
    const creditBytes = wholeNumber("credit_bytes", request.creditBytes);
    const catchUpBytes = wholeNumber("catch_up_credit_bytes", request.catchUpCreditBytes);
    if (creditBytes > 0) this.#inSync.grant(creditBytes);
    if (catchUpBytes > 0) this.#catchingUp.grant(catchUpBytes);
  }

  #join({ index, topicId, partition }: PartitionJoin): void {
    const { maxPartitions } = this.#options.limits;
    if (index <= this.#lastIndex) throw invalidRequest("joins.index", `${index} was used before`);
    if (topicId === "" || partition < 0) throw invalidRequest("joins", `index ${index} names no partition`);
    if (this.#partitions.size >= maxPartitions) {
      throw invalidRequest("joins", `${maxPartitions} partitions are in the session already`, maxPartitions);
    }
    const key = keyOf(topicId, partition);
    if (this.#byKey.has(key)) throw invalidRequest("joins", `${key} is in the session already`);
    this.#lastIndex = index;
    const joined = new SentPartition(this, index, topicId, partition);
    this.#partitions.set(index, joined);
    this.#byKey.set(key, joined);
  }

  #leave(index: number): void {
    const partition = this.#partitions.get(index);
    if (partition === undefined) throw invalidRequest("leaves", `${index} is not in the session`);
    this.#partitions.delete(index);
    this.#forget(partition);
  }

  #forget(partition: SentPartition): void {
    partition.sending = undefined;
    this.#byKey.delete(keyOf(partition.topicId, partition.partition));
    this.#news.delete(partition);
    this.#laneOf(partition).remove(partition);
    this.#options.onLeft(partition);
  }

  #update(message: UpdateMessage): void {
    const partition = this.#partitions.get(message.index);
    if (partition === undefined) throw invalidRequest("updates", `${message.index} is not in the session`);
    const update = parseUpdate(message, this);
    const isCatchingUp = message.catchingUp && !this.#isAwaited(partition);
    if (partition.isCatchingUp !== isCatchingUp) this.#changeLane(partition, isCatchingUp);
    this.#options.onUpdate(partition, update);
    // By what it has just said.
    if (partition.isCatchingUp && this.#isAwaited(partition)) this.#changeLane(partition, false);
  }

  /** From when its leader counts a replica in, producers would wait with it for the throttle. */
  #isAwaited({ sending }: SentPartition): boolean {
    return sending?.replica.isAwaited(this.nodeId) === true;
  }

  #changeLane(partition: SentPartition, isCatchingUp: boolean): void {
    this.#laneOf(partition).remove(partition);
    partition.isCatchingUp = isCatchingUp;
    if (partition.sending !== undefined) this.#laneOf(partition).queue(partition);
  }

  #laneOf(partition: SentPartition): SendingLane {
    return partition.isCatchingUp ? this.#catchingUp : this.#inSync;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#blocked || this.#ended) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#blocked && !this.#ended) {
      const message = this.#nextMessage();
      if (message === undefined) break;
      this.#send(message);
    }
    this.#inSync.pump();
    this.#catchingUp.pump();
  }

  #send(message: ResponseInit): void {
    const { stream } = this.#options;
    try {
      if (stream.send(message)) return;
    } catch (thrown) {
      // A message that cannot be sent would be made again: the follower's side has to know.
      this.end(
        thrown instanceof OttlaError ? thrown : new OttlaError("UNKNOWN_SERVER_ERROR", String(thrown)),
      );
      return;
    }
    this.#blocked = true;
    stream.drained().then(
      () => {
        this.#blocked = false;
        this.#flush();
      },
      // The loop over `received` fails with the same error and ends the session.
      () => undefined,
    );
  }

  #nextMessage(): ResponseInit | undefined {
    const { maxMessageBytes } = this.#options.limits;
    const answers = this.#answers;
    this.#answers = [];
    const batches: Uint8Array[] = [];
    let sizeBytes = 0;
    while (sizeBytes < maxMessageBytes) {
      const records = this.#nextRecords();
      if (records === undefined) break;
      const answer = this.#recordsAnswer(records);
      if (answer === undefined) continue;
      answers.push(answer);
      const [chunk] = records.chunks;
      // In one piece for the follower, whose log takes them as they come.
      const isWhole = records.chunks.length === 1 && chunk !== undefined;
      batches.push(isWhole ? chunk : new BytesInPieces(records.chunks));
      sizeBytes += records.sizeBytes;
    }
    this.#tellNews(answers);
    if (answers.length === 0) return undefined;
    if (sizeBytes > 0) this.#options.metrics.countSent(sizeBytes);
    return { answers, batches };
  }

  #nextRecords(): ReadRecords | undefined {
    const isTurnOfOthers = this.#inSyncBytes >= IN_SYNC_BYTES_IN_A_ROW;
    const [first, second] = isTurnOfOthers
      ? [this.#catchingUp, this.#inSync]
      : [this.#inSync, this.#catchingUp];
    const records = first.take() ?? second.take();
    if (records?.isCatchingUp === true) this.#inSyncBytes = 0;
    else this.#inSyncBytes += records?.sizeBytes ?? 0;
    return records;
  }

  #recordsAnswer(records: ReadRecords): AnswerInit | undefined {
    const { baseOffset, nextOffset, partition, sending } = records;
    const head = partition.nextHead(sending);
    if (head === undefined) {
      partition.sending = undefined;
      return undefined;
    }
    const value = {
      baseOffset: BigInt(baseOffset),
      nextOffset: BigInt(nextOffset),
      chunkCount: 1,
      catchingUp: records.isCatchingUp,
    };
    const logEndOffset = BigInt(Math.max(nextOffset, sending.replica.head().logEndOffset));
    return { ...head, logEndOffset, outcome: { case: "records", value } };
  }

  /** Offsets that moved and did not travel with records. */
  #tellNews(answers: AnswerInit[]): void {
    for (const partition of this.#news) {
      const { sending } = partition;
      const head = sending && partition.nextHead(sending);
      if (head === undefined) partition.sending = undefined;
      else if (head.highWatermark !== undefined || head.logStartOffset !== undefined) answers.push(head);
    }
    this.#news.clear();
  }
}

function keyOf(topicId: string, partition: number): string {
  return `${topicId}-${partition}`;
}
