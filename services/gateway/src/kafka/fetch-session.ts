import type { ErrorCode } from "@ottla/errors";
import type { fetch, RequestOf } from "@ottla/kafka-protocol";
import type { Random } from "@ottla/runtime";
import type { KafkaConnectionState } from "./handler.ts";

type FetchRequest = RequestOf<typeof fetch>;

/** What a client wants from one partition. */
export interface FetchTarget {
  /** The topic as the client names it: by name up to version 12, by id from 13 on. */
  readonly topic: string;
  readonly partition: number;
  /** -1 when the client does not know. */
  readonly currentLeaderEpoch: number;
  readonly fetchOffset: number;
  readonly maxBytes: number;
}

/** What the client was told about a partition last: an incremental answer leaves out what is still so. */
interface Told {
  highWatermark: number;
  logStartOffset: number;
}

interface SessionPartition {
  target: FetchTarget;
  readonly told: Told;
}

/** The part of a partition's answer that decides whether an incremental answer must hold it. */
export interface PartitionNews {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly hasRecords: boolean;
}

const INITIAL_EPOCH = 0;
const FINAL_EPOCH = -1;
const EPOCH_MAX = 2 ** 31 - 1;
export const NO_SESSION = 0;
const SESSION = Symbol("the connection's fetch session");

/** One incremental fetch session (KIP-227), bound to the connection that began it. */
class FetchSession {
  readonly id: number;
  readonly usesTopicIds: boolean;
  epoch = 1;
  /** In the order in which they are read: what gave records goes to the end, so that none starves. */
  readonly partitions = new Map<string, SessionPartition>();

  constructor(id: number, usesTopicIds: boolean) {
    this.id = id;
    this.usesTopicIds = usesTopicIds;
  }

  update(request: FetchRequest): void {
    for (const { topic, topicId, partitions } of request.forgottenTopicsData) {
      const name = this.usesTopicIds ? topicId : topic;
      for (const partition of partitions) this.partitions.delete(keyOf(name, partition));
    }
    for (const target of targetsOf(request, this.usesTopicIds)) {
      const key = keyOf(target.topic, target.partition);
      const known = this.partitions.get(key);
      if (known === undefined)
        this.partitions.set(key, { target, told: { highWatermark: -1, logStartOffset: -1 } });
      else known.target = target;
    }
  }

  /** Takes note of what the client is told now; says whether it is news. */
  isNews(news: PartitionNews): boolean {
    const key = keyOf(news.topic, news.partition);
    const known = this.partitions.get(key);
    if (known === undefined) return true;
    // A fetch that was called off has looked at nothing.
    if (news.errorCode === 0 && news.highWatermark < 0) return false;
    const { told } = known;
    const changed = told.highWatermark !== news.highWatermark || told.logStartOffset !== news.logStartOffset;
    told.highWatermark = news.highWatermark;
    told.logStartOffset = news.logStartOffset;
    if (news.errorCode !== 0) {
      // After an error the client must hear of the partition again, whatever it knew before.
      told.highWatermark = -1;
      return true;
    }
    if (news.hasRecords) {
      this.partitions.delete(key);
      this.partitions.set(key, known);
      return true;
    }
    return changed;
  }
}

/** How a fetch stands to a session. */
export interface FetchContext {
  readonly sessionId: number;
  readonly usesTopicIds: boolean;
  readonly targets: readonly FetchTarget[];
  /** Whether the answer must hold this partition; to be asked once for each, in the order of the targets. */
  mustAnswer(news: PartitionNews): boolean;
}

export interface FetchSessionsOptions {
  readonly random: Random;
  /**
   * How many partitions the sessions of all connections remember: beyond it fetches work without a session.
   */
  readonly maxPartitions: number;
}

/** The fetch sessions of all connections. A connection has one at most, and it ends with the connection. */
export class FetchSessions {
  readonly #options: FetchSessionsOptions;
  #partitionCount = 0;

  constructor(options: FetchSessionsOptions) {
    this.#options = options;
  }

  get partitionCount(): number {
    return this.#partitionCount;
  }

  /** The context of a fetch, or the error that the whole request is answered with. */
  open(
    request: FetchRequest,
    apiVersion: number,
    connection: KafkaConnectionState,
  ): FetchContext | ErrorCode {
    const usesTopicIds = apiVersion >= 13;
    const { sessionId, sessionEpoch } = request;
    if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
      const own = sessionOf(connection);
      // A client that begins again, or ends, names the session that it gives up; one
      // session a connection is the limit.
      if (own !== undefined && (own.id === sessionId || sessionEpoch === INITIAL_EPOCH))
        this.#end(connection, own);
      const targets = targetsOf(request, usesTopicIds);
      if (sessionEpoch === FINAL_EPOCH) return sessionless(targets, usesTopicIds);
      return this.#begin(request, targets, usesTopicIds, connection);
    }
    return this.#continue(request, usesTopicIds, connection);
  }

  #begin(
    request: FetchRequest,
    targets: readonly FetchTarget[],
    usesTopicIds: boolean,
    connection: KafkaConnectionState,
  ): FetchContext {
    if (targets.length === 0 || this.#partitionCount + targets.length > this.#options.maxPartitions) {
      return sessionless(targets, usesTopicIds);
    }
    const session = new FetchSession(1 + this.#options.random.integer(EPOCH_MAX), usesTopicIds);
    session.update(request);
    this.#partitionCount += session.partitions.size;
    if (!connection.attachments.has(SESSION)) {
      connection.onClosed(() => {
        const last = sessionOf(connection);
        if (last !== undefined) this.#end(connection, last);
      });
    }
    connection.attachments.set(SESSION, session);
    return {
      sessionId: session.id,
      usesTopicIds,
      targets,
      mustAnswer: (news) => {
        session.isNews(news);
        return true;
      },
    };
  }

  #continue(
    request: FetchRequest,
    usesTopicIds: boolean,
    connection: KafkaConnectionState,
  ): FetchContext | ErrorCode {
    const session = sessionOf(connection);
    if (session === undefined || session.id !== request.sessionId) return "FETCH_SESSION_ID_NOT_FOUND";
    if (session.epoch !== request.sessionEpoch) return "INVALID_FETCH_SESSION_EPOCH";
    if (session.usesTopicIds !== usesTopicIds) return "FETCH_SESSION_TOPIC_ID_ERROR";
    const before = session.partitions.size;
    session.update(request);
    this.#partitionCount += session.partitions.size - before;
    const targets = [...session.partitions.values()].map(({ target }) => target);
    if (targets.length === 0 || this.#partitionCount > this.#options.maxPartitions) {
      this.#end(connection, session);
      // Told that its session is gone, a client begins again with all its partitions, and
      // then gets no session.
      return targets.length === 0 ? sessionless([], usesTopicIds) : "FETCH_SESSION_ID_NOT_FOUND";
    }
    session.epoch = session.epoch === EPOCH_MAX ? 1 : session.epoch + 1;
    return { sessionId: session.id, usesTopicIds, targets, mustAnswer: (news) => session.isNews(news) };
  }

  #end(connection: KafkaConnectionState, session: FetchSession): void {
    this.#partitionCount -= session.partitions.size;
    connection.attachments.set(SESSION, undefined);
  }
}

function sessionOf(connection: KafkaConnectionState): FetchSession | undefined {
  const session = connection.attachments.get(SESSION);
  return session instanceof FetchSession ? session : undefined;
}

function sessionless(targets: readonly FetchTarget[], usesTopicIds: boolean): FetchContext {
  return { sessionId: NO_SESSION, usesTopicIds, targets, mustAnswer: () => true };
}

function targetsOf(request: FetchRequest, usesTopicIds: boolean): FetchTarget[] {
  return request.topics.flatMap(({ topic, topicId, partitions }) =>
    partitions.map(({ partition, currentLeaderEpoch, fetchOffset, partitionMaxBytes }) => ({
      topic: usesTopicIds ? topicId : topic,
      partition,
      currentLeaderEpoch,
      fetchOffset,
      maxBytes: partitionMaxBytes,
    })),
  );
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
