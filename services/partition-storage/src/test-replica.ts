import { createLogResources, DEFAULT_LOG_CONFIG, SegmentedLog } from "@ottla/log";
import type { ClusterPartition } from "@ottla/metadata";
import type { IsrOutcome, IsrProposal } from "@ottla/replication";
import { Deadlines, MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";
import { PartitionReplica } from "./partition-replica.ts";
import type { ReplicaReport, ReplicationNode, TickedReplica } from "./replication-node.ts";
import { FetchPurgatoryLimit } from "./waiting-fetches.ts";

export const NODE_EPOCH = 10;

/** A partition that node 1 leads alone, with what differs from that. */
export function partitionState(change: Partial<ClusterPartition> = {}): ClusterPartition {
  return {
    topicId: "t",
    partition: 0,
    leader: 1,
    leaderNodeEpoch: NODE_EPOCH,
    leaderEpoch: 3,
    partitionEpoch: 1,
    replicas: [1],
    isr: [1],
    eligibleReplicas: [],
    lastKnownLeader: -1,
    minInsyncReplicas: 1,
    modRevision: 1,
    ...change,
  };
}

const NO_FOLLOWER_STREAMS = {
  answerPosition: () => undefined,
  refuseUpdate: () => undefined,
  changed: () => undefined,
  ended: () => undefined,
};

const NO_LEADER_STREAMS = {
  follow: () => undefined,
  unfollow: () => undefined,
  sendUpdate: () => undefined,
  termChanged: () => undefined,
};

/** A registered node without other nodes to talk to, which keeps what its replicas say. */
export class TestNode implements ReplicationNode {
  readonly nodeId = 1;
  readonly identity = { nodeId: 1, nodeEpoch: NODE_EPOCH };
  readonly nodes = new Map([
    [1, NODE_EPOCH],
    [2, 11],
    [3, 12],
  ]);
  readonly limits = { replicaLagTimeMaxMs: 1_000, isrRetryBackoffMs: 100, refusedBackoffMs: 50 };
  readonly mutants = undefined;
  readonly ticked = new Set<TickedReplica>();
  readonly restless = new Set<TickedReplica>();
  readonly followerStreams = NO_FOLLOWER_STREAMS;
  readonly leaderStreams = NO_LEADER_STREAMS;
  readonly proposals: { proposal: IsrProposal; done: (outcome: IsrOutcome) => void }[] = [];
  readonly reports: ReplicaReport[] = [];
  hasLease = true;

  proposeIsr(_partition: unknown, proposal: IsrProposal, done: (outcome: IsrOutcome) => void): void {
    this.proposals.push({ proposal, done });
  }

  report(_partition: unknown, report: ReplicaReport): void {
    this.reports.push(report);
  }

  withdrawDamage(): void {
    const damage = this.reports.findIndex(({ kind }) => kind === "damaged");
    if (damage >= 0) this.reports.splice(damage, 1);
  }

  countIsrChange(): void {}

  countResignation(): void {}
}

/** A replica over a disk in memory, on virtual time; its log is not open yet. */
export function createTestReplica(
  options: {
    readonly state?: ClusterPartition;
    readonly maxWaitingFetches?: number;
    readonly log?: Partial<Parameters<typeof SegmentedLog.open>[0]>;
  } = {},
) {
  const clock = new VirtualClock();
  const random = new SeededRandom(1);
  const disk = new MemoryDisk({ clock, random });
  const resources = createLogResources({ disk, clock, random, logger: nullLogger });
  const openLog = (_config?: unknown, cutFrom?: number): Promise<SegmentedLog> =>
    SegmentedLog.open({
      directory: "/log",
      resources,
      config: DEFAULT_LOG_CONFIG,
      topicId: "t",
      ...(cutFrom === undefined ? {} : { cutFrom }),
      ...options.log,
    });
  const errors: unknown[] = [];
  const logger = { ...nullLogger, error: (facts: unknown) => errors.push(facts) };
  const node = new TestNode();
  const purgatoryLimit = new FetchPurgatoryLimit(options.maxWaitingFetches ?? 100);
  const replica = new PartitionReplica({
    topicId: "t",
    partition: 0,
    name: "t-0",
    node,
    assignment: { state: options.state ?? partitionState(), config: DEFAULT_LOG_CONFIG },
    openLog,
    clock,
    deadlines: new Deadlines({ clock }),
    purgatoryLimit,
    logger: Object.assign(Object.create(nullLogger), logger),
    onLeaderChange: () => undefined,
    onRetentionChange: () => undefined,
  });
  const assign = (change: Partial<ClusterPartition>): void =>
    replica.assign({ state: partitionState(change), config: DEFAULT_LOG_CONFIG });
  return { clock, disk, node, purgatoryLimit, replica, assign, openLog, errors };
}
