import { toOttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type {
  IsrOutcome,
  IsrProposal,
  Mutants,
  NodeIdentity,
  RegisteredNodes,
  ReplicaLimits,
} from "@ottla/replication";
import type { Transport } from "@ottla/rpc";
import type { Clock, Logger } from "@ottla/runtime";
import { IsrProposals } from "./isr-proposals.ts";
import { ReplicaReports } from "./replica-reports.ts";
import type { FollowerStreams, LeaderStreams } from "./replication/replica-seams.ts";
import type { PartitionRef, ReplicaReport, ReplicationNode, TickedReplica } from "./replication-node.ts";
import type { StorageMetrics } from "./storage-metrics.ts";

export interface StorageNodeOptions {
  readonly nodeId: number;
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: StorageMetrics;
  readonly limits: ReplicaLimits;
  readonly mutants: Mutants | undefined;
  readonly followerStreams: FollowerStreams;
  readonly leaderStreams: LeaderStreams;
  /** To the active coordinator; throws where there is none. */
  readonly controller: () => Transport;
  readonly coordinatorTimeoutMs: number;
}

/** This node as its replicas know it: its registration, the other nodes, and its ways to the coordinator. */
export class StorageNode implements ReplicationNode {
  readonly nodeId: number;
  readonly limits: ReplicaLimits;
  readonly mutants: Mutants | undefined;
  readonly ticked = new Set<TickedReplica>();
  readonly restless = new Set<TickedReplica>();
  readonly followerStreams: FollowerStreams;
  readonly leaderStreams: LeaderStreams;
  readonly #options: StorageNodeOptions;
  readonly #proposals: IsrProposals;
  readonly #reports: ReplicaReports;
  readonly #unsubscribe: () => void;
  #nodes: RegisteredNodes;
  #identity: NodeIdentity | undefined;
  #hasLease = false;

  constructor(options: StorageNodeOptions) {
    const { view } = options;
    this.nodeId = options.nodeId;
    this.limits = options.limits;
    this.mutants = options.mutants;
    this.followerStreams = options.followerStreams;
    this.leaderStreams = options.leaderStreams;
    this.#options = options;
    const asking = {
      ...options,
      identity: () => this.#identity,
      onNotController: () => this.#lookForController(),
      timeoutMs: options.coordinatorTimeoutMs,
    };
    this.#proposals = new IsrProposals(asking);
    this.#reports = new ReplicaReports(asking);
    this.#nodes = nodesOf(view);
    // Before any other listener looks at them: replicas are told afterwards.
    this.#unsubscribe = view.onChange(({ nodes }) => {
      if (nodes.some(({ role }) => role === "partition-storage")) this.#nodes = nodesOf(view);
    });
  }

  get identity(): NodeIdentity | undefined {
    return this.#identity;
  }

  get hasLease(): boolean {
    return this.#hasLease;
  }

  get nodes(): RegisteredNodes {
    return this.#nodes;
  }

  onRegistered(nodeEpoch: number): void {
    this.#identity = { nodeId: this.nodeId, nodeEpoch };
    this.#hasLease = true;
  }

  onLeaseLost(): void {
    this.#hasLease = false;
  }

  proposeIsr(partition: PartitionRef, proposal: IsrProposal, done: (outcome: IsrOutcome) => void): void {
    this.#proposals.propose(partition, proposal, done);
  }

  report(partition: PartitionRef, report: ReplicaReport): void {
    this.#reports.add({ topicId: partition.topicId, partition: partition.partition }, report);
  }

  withdrawDamage(partition: PartitionRef): void {
    this.#reports.withdrawDamage(partition);
  }

  countIsrChange(kind: "shrink" | "expand"): void {
    this.#options.metrics.countIsrChange(kind);
  }

  countResignation(reason: string): void {
    this.#options.metrics.countResignation(reason);
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await this.#reports.close();
  }

  #lookForController(): void {
    const { logger, view } = this.#options;
    view.refresh().catch((thrown: unknown) => {
      logger.debug({ err: toOttlaError(thrown) }, "cannot refresh the view for the coordinator");
    });
  }
}

function nodesOf(view: ClusterView): RegisteredNodes {
  return new Map(view.nodes("partition-storage").map(({ nodeId, nodeEpoch }) => [nodeId, nodeEpoch]));
}
