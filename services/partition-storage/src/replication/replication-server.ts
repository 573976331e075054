import { invalidRequest, OttlaError } from "@ottla/errors";
import type {
  FollowerHello,
  ReplicateRequest,
  ReplicationService,
} from "@ottla/proto/ottla/internal/v1/replication";
import type { FollowerUpdate, PositionAnswer, ReplicationRefusal } from "@ottla/replication";
import type { ServiceImplementation } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { LeaderSession, type ReplicateStream, type SendingLimits } from "./leader-session.ts";
import type { FollowerStreams, LedReplica } from "./replica-seams.ts";
import { wholeNumber } from "./replicate-fields.ts";
import type { ReplicationMetrics } from "./replication-metrics.ts";
import type { Sending, SentPartition } from "./sent-partition.ts";

const MEBIBYTE = 1024 * 1024;

export interface ReplicationServerOptions {
  readonly nodeId: number;
  /** This node's registration; negative while there is none. */
  readonly nodeEpoch: () => number;
  readonly clusterId: string;
  /** The replica of the partition when this node leads it. */
  readonly replica: (topicId: string, partition: number) => LedReplica | undefined;
  readonly clock: Clock;
  readonly metrics: ReplicationMetrics;
  readonly limits?: Partial<SendingLimits>;
}

const DEFAULT_LIMITS: SendingLimits = {
  maxPartitions: 20_000,
  maxReadBytes: MEBIBYTE,
  maxConcurrentReads: 4,
  maxMessageBytes: MEBIBYTE,
};

/** The leader's side of replication: serves one stream to each node that follows partitions of this one. */
export class ReplicationServer implements FollowerStreams, ServiceImplementation<typeof ReplicationService> {
  readonly #options: ReplicationServerOptions;
  readonly #limits: SendingLimits;
  readonly #sessions = new Map<number, LeaderSession>();
  /** Who is to be told when something of a replica changes. */
  readonly #followers = new Map<LedReplica, Set<SentPartition>>();

  constructor(options: ReplicationServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  /** Serves the stream of one follower's node until either side ends it. */
  async replicate(stream: ReplicateStream): Promise<void> {
    const { metrics, nodeId } = this.#options;
    const requests = stream.received[Symbol.asyncIterator]();
    const first = await requests.next();
    if (first.done === true) return;
    const session = this.#begin(stream, requests, first.value);
    stream.send({
      hello: {
        nodeId,
        nodeEpoch: BigInt(this.#options.nodeEpoch()),
        maxPartitions: this.#limits.maxPartitions,
      },
    });
    metrics.followerStreams(1);
    try {
      await session.run(first.value);
    } finally {
      metrics.followerStreams(-1);
      if (this.#sessions.get(session.nodeId) === session) this.#sessions.delete(session.nodeId);
    }
  }

  answerPosition(
    replica: LedReplica,
    nodeId: number,
    nodeEpoch: number,
    fromOffset: number,
    answer: PositionAnswer,
  ): void {
    const partition = this.#find(replica, nodeId, nodeEpoch);
    if (partition === undefined) return;
    this.#attach(partition, replica);
    partition.answerPosition(replica, fromOffset, answer);
  }

  refuseUpdate(replica: LedReplica, nodeId: number, nodeEpoch: number, answer: PositionAnswer): void {
    const { outcome } = answer;
    if (outcome.kind === "refused") this.#options.metrics.countRefusal(outcome.reason);
    this.#find(replica, nodeId, nodeEpoch)?.refuse(answer);
  }

  changed(replica: LedReplica): void {
    const followers = this.#followers.get(replica);
    if (followers === undefined) return;
    for (const partition of followers) partition.sender.changed(partition);
  }

  ended(replica: LedReplica): void {
    for (const partition of this.#followers.get(replica) ?? []) {
      partition.sending = undefined;
      partition.replica = undefined;
    }
    this.#followers.delete(replica);
  }

  #begin(
    stream: ReplicateStream,
    requests: AsyncIterator<ReplicateRequest>,
    { hello }: ReplicateRequest,
  ): LeaderSession {
    const { clock, metrics } = this.#options;
    let nodeEpoch: number;
    try {
      nodeEpoch = this.#checkHello(hello);
    } catch (thrown) {
      metrics.countRefusal(thrown instanceof OttlaError ? thrown.code : "UNKNOWN_SERVER_ERROR");
      throw thrown;
    }
    const nodeId = hello?.nodeId ?? -1;
    const session = new LeaderSession({
      stream,
      requests,
      nodeId,
      nodeEpoch,
      limits: this.#limits,
      clock,
      metrics,
      onUpdate: (partition, update) => this.#update(partition, update),
      onReadFailed: (partition, sending, error) => this.#readFailed(partition, sending, error),
      onLeft: (partition) => this.#detach(partition),
    });
    const before = this.#sessions.get(nodeId);
    this.#sessions.set(nodeId, session);
    // The connection of the older one has broken, which this side has not noticed yet.
    before?.end(new OttlaError("CANCELLED", `storage node ${nodeId} has opened another stream`));
    return session;
  }

  /** Refuses strangers, whoever means another node, and former registrations (R2). Returns the follower's. */
  #checkHello(hello: FollowerHello | undefined): number {
    const { clusterId, nodeId: ownId } = this.#options;
    if (hello === undefined) throw invalidRequest("hello", "the first message has none");
    if (hello.clusterId !== clusterId) {
      throw new OttlaError(
        "CLUSTER_AUTHORIZATION_FAILED",
        `the follower belongs to cluster ${hello.clusterId.slice(0, 64)}, this node to ${clusterId}`,
        { metadata: { field: "hello.cluster_id" } },
      );
    }
    const { leaderNodeId, nodeId } = hello;
    if (leaderNodeId !== ownId) {
      throw invalidRequest(
        "hello.leader_node_id",
        `storage node ${leaderNodeId} is asked for, this is ${ownId}`,
      );
    }
    if (nodeId < 0 || nodeId === ownId) {
      throw invalidRequest("hello.node_id", `${nodeId} is no other storage node`);
    }
    const leaderNodeEpoch = wholeNumber("hello.leader_node_epoch", hello.leaderNodeEpoch);
    const ownEpoch = this.#options.nodeEpoch();
    if (ownEpoch < 0 || leaderNodeEpoch !== ownEpoch) {
      throw new OttlaError(
        ownEpoch < leaderNodeEpoch ? "UNAVAILABLE" : "STALE_BROKER_EPOCH",
        `storage node ${ownId} is registered as of ${ownEpoch}, the follower means ${leaderNodeEpoch}`,
      );
    }
    const nodeEpoch = wholeNumber("hello.node_epoch", hello.nodeEpoch);
    const known = this.#sessions.get(nodeId);
    if (known !== undefined && known.nodeEpoch > nodeEpoch) {
      throw new OttlaError(
        "STALE_BROKER_EPOCH",
        `storage node ${nodeId} has registered again since ${nodeEpoch}, as of ${known.nodeEpoch}`,
      );
    }
    return nodeEpoch;
  }

  #update(partition: SentPartition, update: FollowerUpdate): void {
    const replica = this.#options.replica(partition.topicId, partition.partition);
    if (replica === undefined) {
      this.#refuse(partition, update.leaderEpoch, update.positionVersion, "not-leader");
      return;
    }
    this.#attach(partition, replica);
    replica.onFollowerUpdate(update);
  }

  /** The follower asks again after a while: then the leader judges its position anew. */
  #readFailed(partition: SentPartition, sending: Sending, error: OttlaError): void {
    const { leaderEpoch, nextOffset, positionVersion, replica } = sending;
    this.#refuse(partition, leaderEpoch, positionVersion, "storage-error");
    // Below the log start is what retention has taken from under the follower: the log is well.
    if (error.code !== "OFFSET_OUT_OF_RANGE") replica.onReadFailed(nextOffset, error);
  }

  #refuse(
    partition: SentPartition,
    leaderEpoch: number,
    positionVersion: number,
    reason: ReplicationRefusal,
  ): void {
    this.#options.metrics.countRefusal(reason);
    const head = { leaderEpoch, positionVersion, highWatermark: 0, logStartOffset: 0, logEndOffset: 0 };
    partition.refuse({ ...head, outcome: { kind: "refused", reason } });
  }

  #find(replica: LedReplica, nodeId: number, nodeEpoch: number): SentPartition | undefined {
    const session = this.#sessions.get(nodeId);
    if (session?.nodeEpoch !== nodeEpoch) return undefined;
    return session.find(replica.topicId, replica.partition);
  }

  #attach(partition: SentPartition, replica: LedReplica): void {
    if (partition.replica === replica) return;
    this.#detach(partition);
    partition.replica = replica;
    const followers = this.#followers.get(replica);
    if (followers === undefined) this.#followers.set(replica, new Set([partition]));
    else followers.add(partition);
  }

  #detach(partition: SentPartition): void {
    const { replica } = partition;
    if (replica === undefined) return;
    partition.replica = undefined;
    const followers = this.#followers.get(replica);
    followers?.delete(partition);
    if (followers?.size === 0) this.#followers.delete(replica);
  }
}
