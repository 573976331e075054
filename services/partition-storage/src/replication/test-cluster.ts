import { createLogResources, DEFAULT_LOG_CONFIG, type LogConfig, SegmentedLog } from "@ottla/log";
import { ReplicationService } from "@ottla/proto/ottla/internal/v1/replication";
import { encodeBatch } from "@ottla/records";
import type { IsrProposal, PartitionTerm } from "@ottla/replication";
import { GrpcServer, GrpcTransport, InProcessTransport, ServiceRegistry, type Transport } from "@ottla/rpc";
import {
  createLogger,
  createMetricsRegistry,
  MemoryDisk,
  nullLogger,
  SeededRandom,
  systemClock,
} from "@ottla/runtime";
import type { SendingLimits } from "./leader-session.ts";
import { ReplicationClient, type ReplicationClientOptions } from "./replication-client.ts";
import { ReplicationMetrics } from "./replication-metrics.ts";
import { ReplicationServer } from "./replication-server.ts";
import { TestReplica } from "./test-replica.ts";

const clock = systemClock;

export interface TestClusterOptions {
  readonly transport: "gRPC" | "in-process";
  readonly partitions?: number;
  readonly nodes?: number;
  readonly sending?: Partial<SendingLimits>;
  readonly receiving?: ReplicationClientOptions["limits"];
  readonly log?: Partial<LogConfig>;
  readonly tailCacheBytes?: number;
  /** Those in sync at the start; all replicas when not given. */
  readonly isr?: readonly number[];
}

export const TOPIC = "b2a7d1c0-5a7e-4c39-9a53-000000000001";
const CLUSTER_ID = "test-cluster";

/** One storage node of a test: logs on a disk in memory, both sides of its replication streams. */
export class TestNode {
  readonly nodeId: number;
  nodeEpoch: number;
  readonly disk = new MemoryDisk({ clock, random: new SeededRandom(1) });
  readonly replicas = new Map<number, TestReplica>();
  readonly server: ReplicationServer;
  client: ReplicationClient;
  readonly registry = new ServiceRegistry();
  readonly metrics = createMetricsRegistry();
  grpc: GrpcServer | undefined;
  port = 0;

  readonly #shared;

  constructor(nodeId: number, cluster: TestCluster) {
    this.nodeId = nodeId;
    this.nodeEpoch = 100 + nodeId;
    const metrics = new ReplicationMetrics(this.metrics);
    const shared = { nodeId, nodeEpoch: () => this.nodeEpoch, clusterId: CLUSTER_ID, clock, metrics };
    const { sending } = cluster.options;
    this.#shared = shared;
    this.server = new ReplicationServer({
      ...shared,
      replica: (topicId, partition) => {
        const replica = topicId === TOPIC ? this.replicas.get(partition) : undefined;
        return replica?.isLeader === true ? replica : undefined;
      },
      ...(sending && { limits: sending }),
    });
    this.client = this.newClient(cluster);
    this.registry.add(ReplicationService, this.server);
  }

  newClient(cluster: TestCluster, onTrouble?: (message: string) => void): ReplicationClient {
    const destination = { write: (line: string) => onTrouble?.(line) };
    return new ReplicationClient({
      ...this.#shared,
      random: new SeededRandom(this.nodeId),
      logger: createLogger({ level: "warn", format: "json", destination }),
      transportFor: (to) => cluster.transportTo(to),
      limits: cluster.options.receiving ?? { catchUpBytesPerSecond: 1_000_000_000 },
    });
  }

  async metric(name: string): Promise<number> {
    const found = await this.metrics.getSingleMetric(`ottla_partition_storage_replication_${name}`)?.get();
    return found?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
  }
}

/** Some nodes with replicas of the same partitions, and a coordinator that does as it is asked. */
export class TestCluster {
  readonly options: TestClusterOptions;
  readonly nodes: TestNode[] = [];
  readonly terms = new Map<number, PartitionTerm>();
  readonly #transports = new Set<Transport>();
  readonly #replaced = new Map<number, () => Transport>();
  #waiting: (() => void)[] = [];

  private constructor(options: TestClusterOptions) {
    this.options = options;
  }

  /** Node 0 leads all partitions. */
  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    const { nodes = 3, partitions = 1 } = options;
    for (let nodeId = 0; nodeId < nodes; nodeId += 1) cluster.nodes.push(new TestNode(nodeId, cluster));
    for (const node of cluster.nodes) {
      if (options.transport === "gRPC") {
        node.grpc = new GrpcServer({ registries: [node.registry], clock, port: 0, logger: nullLogger });
        node.port = await node.grpc.start();
      }
      for (let partition = 0; partition < partitions; partition += 1) await cluster.#open(node, partition);
    }
    for (let partition = 0; partition < partitions; partition += 1) cluster.elect(partition, 0);
    return cluster;
  }

  async close(): Promise<void> {
    for (const { client } of this.nodes) client.close();
    for (const { grpc } of this.nodes) await grpc?.stop(0);
    for (const node of this.nodes) for (const { log } of node.replicas.values()) await log.abandon();
  }

  replica(nodeId: number, partition = 0): TestReplica {
    const replica = this.nodes[nodeId]?.replicas.get(partition);
    if (replica === undefined) throw new Error(`node ${nodeId} has no replica of partition ${partition}`);
    return replica;
  }

  leader(partition = 0): TestReplica {
    return this.replica(this.terms.get(partition)?.leader ?? -1, partition);
  }

  node(nodeId: number): TestNode {
    const node = this.nodes[nodeId];
    if (node === undefined) throw new Error(`there is no node ${nodeId}`);
    return node;
  }

  /** A new term, of which all nodes hear at once, or those named. */
  elect(
    partition: number,
    leader: number,
    more: Partial<PartitionTerm> = {},
    told: readonly number[] = this.nodes.map(({ nodeId }) => nodeId),
  ): void {
    const before = this.terms.get(partition);
    const replicas = this.nodes.map(({ nodeId }) => nodeId);
    const term = {
      leader,
      leaderNodeEpoch: this.node(leader).nodeEpoch,
      leaderEpoch: (before?.leaderEpoch ?? 0) + 1,
      partitionEpoch: (before?.partitionEpoch ?? 0) + 1,
      replicas,
      isr: before?.isr ?? this.options.isr ?? replicas,
      eligibleReplicas: [],
      minInsyncReplicas: 1,
      ...more,
    };
    this.terms.set(partition, term);
    for (const nodeId of told) this.tellAgain(nodeId, partition);
  }

  /** The node hears of the partition's present term. */
  tellAgain(nodeId: number, partition = 0): void {
    const term = this.terms.get(partition);
    const registered = new Map(this.nodes.map((node) => [node.nodeId, node.nodeEpoch]));
    const { client, replicas } = this.node(nodeId);
    const replica = replicas.get(partition);
    if (term === undefined || replica === undefined) return;
    replica.do(replica.state.onMetadata(term, registered, clock.monotonic()));
    client.termChanged(replica);
  }

  /** Follows again with another client, after the node's own was closed. */
  restartClient(nodeId: number, onTrouble?: (message: string) => void): void {
    const node = this.node(nodeId);
    node.client = node.newClient(this, onTrouble);
    for (const replica of node.replicas.values()) replica.followAgain();
  }

  /** Connections to the node lead elsewhere from now on. */
  replaceTransport(nodeId: number, make: () => Transport): void {
    this.#replaced.set(nodeId, make);
  }

  transportTo(nodeId: number): Transport {
    const { port, registry } = this.node(nodeId);
    const replaced = this.#replaced.get(nodeId)?.();
    if (replaced !== undefined) return replaced;
    const transport =
      this.options.transport === "gRPC"
        ? new GrpcTransport({ address: `127.0.0.1:${port}`, clock, windowBytes: 8 * 1024 * 1024 })
        : new InProcessTransport({ registry, clock, copy: true });
    this.#transports.add(transport);
    return transport;
  }

  /** Breaks every connection there is. */
  async breakConnections(): Promise<void> {
    const transports = [...this.#transports];
    this.#transports.clear();
    await Promise.all(transports.map((transport) => transport.close()));
  }

  /** Resolves as soon as the condition holds; it is looked at after every event. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves when all replicas of all partitions have all there is, and know that it is committed. */
  async untilReplicated(): Promise<void> {
    const partitions = [...this.terms.keys()];
    await this.until(() =>
      partitions.every((partition) => {
        const leader = this.nodes[this.terms.get(partition)?.leader ?? 0]?.replicas.get(partition);
        const endOffset = leader?.log.logEndOffset ?? -1;
        return this.nodes.every(({ replicas }) => {
          const replica = replicas.get(partition);
          return replica?.log.syncedEndOffset === endOffset && replica.state.highWatermark === endOffset;
        });
      }),
    );
  }

  readonly onEvent = (): void => {
    for (const resolve of this.#waiting.splice(0)) resolve();
  };

  async #open(node: TestNode, partition: number): Promise<void> {
    const { log, tailCacheBytes } = this.options;
    const resources = createLogResources({
      disk: node.disk,
      clock,
      random: new SeededRandom(2),
      logger: nullLogger,
      ...(tailCacheBytes === undefined ? {} : { tailCacheBytes }),
    });
    const replica = new TestReplica({
      topicId: TOPIC,
      partition,
      node: { nodeId: node.nodeId, nodeEpoch: node.nodeEpoch },
      log: await SegmentedLog.open({
        directory: `/data/t-${partition}`,
        config: { ...DEFAULT_LOG_CONFIG, ...log },
        resources,
      }),
      followers: node.server,
      leaders: () => node.client,
      clock,
      propose: (from, proposal) => this.#propose(from, proposal),
      onEvent: this.onEvent,
    });
    node.replicas.set(partition, replica);
  }

  #propose(from: TestReplica, proposal: IsrProposal): void {
    clock.nextTurn(() => {
      const { partition } = from;
      const term = this.terms.get(partition);
      const { role } = from.state;
      if (role.kind !== "leader" || term === undefined) return;
      const isStale = proposal.partitionEpoch !== term.partitionEpoch;
      const partitionEpoch = term.partitionEpoch + 1;
      const nowMs = clock.monotonic();
      if (isStale) {
        const refused = { kind: "refused", reason: "stale-partition-epoch" } as const;
        from.do(role.leader.onIsrOutcome(proposal.proposalId, refused, nowMs));
        return;
      }
      from.do(role.leader.onIsrOutcome(proposal.proposalId, { kind: "accepted", partitionEpoch }, nowMs));
      this.terms.set(partition, { ...term, isr: proposal.isr, partitionEpoch });
      for (const { nodeId } of this.nodes) this.tellAgain(nodeId, partition);
    });
  }
}

/** One batch of that many records, each of about that many bytes. */
export function batchOf(recordCount: number, recordBytes = 100): Uint8Array {
  const value = new Uint8Array(recordBytes).fill(7);
  const records = Array.from({ length: recordCount }, () => ({ timestampMs: clock.now(), key: null, value }));
  return encodeBatch(records, {});
}

/** All bytes of a replica's log. */
export async function logBytes({ log }: TestReplica): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let offset = log.logStartOffset; offset < log.writtenEndOffset; ) {
    const read = await log.read(offset, { maxBytes: 1 << 20, endOffset: log.writtenEndOffset });
    chunks.push(...read.chunks);
    offset = read.nextOffset;
  }
  return Buffer.concat(chunks);
}
