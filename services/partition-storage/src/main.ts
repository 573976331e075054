import { createLogResources, type DataDirectory } from "@ottla/log";
import { type ClusterView, type KeptRegistration, keepRegistered, type MetadataStore } from "@ottla/metadata";
import { StorageService } from "@ottla/proto/ottla/internal/v1/storage";
import type { Mutants, PartitionTerm } from "@ottla/replication";
import { ServiceRegistry, type Transport } from "@ottla/rpc";
import type { Clock, Disk, Logger, MetricsRegistry, Random, ReadBuffers } from "@ottla/runtime";
import { VERSION } from "@ottla/runtime";
import { partitionDirectories } from "./directories.ts";
import type { PartitionReplica } from "./partition-replica.ts";
import { PartitionStore } from "./partition-store.ts";
import { ReplicaTicks } from "./replica-ticks.ts";
import { StorageMetrics } from "./storage-metrics.ts";
import { NO_FOLLOWER_STREAMS, NO_LEADER_STREAMS, noController, StorageNode } from "./storage-node.ts";
import { createStorageService, type StorageLimits } from "./storage-service.ts";
import { Upkeep } from "./upkeep.ts";

/** The part of the settings that is about storage. */
export interface StorageSettings {
  readonly tailCacheBytes: number;
  readonly syncConcurrency: number;
  readonly maxOpenSegments: number;
  readonly retentionCheckIntervalMs: number;
  /** Kafka's replica.lag.time.max.ms. */
  readonly replicaLagTimeMaxMs: number;
}

export interface PartitionStorageOptions {
  readonly nodeId: number;
  readonly zone: string;
  /** Where the service is reached once `serve` was called. */
  readonly address: string;
  /** Called with the service, to be served to gateways, before the node registers. */
  readonly serve: (registry: ServiceRegistry) => void;
  readonly leaseTtlMs: number;
  /** Gives up on the registration; has no effect later. */
  readonly signal?: AbortSignal;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  readonly disk: Disk;
  /** Open, and closed by whoever opened it, with what `stop` says. */
  readonly directory: DataDirectory;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly settings: StorageSettings;
  /** The node's own values for topic settings that a topic does not set. */
  readonly topicDefaults: Readonly<Record<string, string>>;
  readonly limits?: Partial<StorageLimits>;
  /** A connection to the active coordinator; throws NOT_CONTROLLER where there is none. */
  readonly controllerTransport?: () => Transport;
  /** Deliberate bugs, for the tests that show that the checkers find them. */
  readonly mutants?: Mutants;
  /** Shared with a gateway of the same process, which gives back what its clients have taken. */
  readonly readBuffers?: ReadBuffers;
}

/** How the service ended: the data directory is marked with it (R9). */
export interface StorageEnd {
  readonly clean: boolean;
  readonly nodeEpoch: number;
}

export interface PartitionStorage {
  /** Undefined when all logs are open, else why not. */
  notReady(): string | undefined;
  /** What it keeps, for those who check that all is as it should be: to be looked at only. */
  replicas(): Iterable<PartitionReplica>;
  /** Deregisters, fails who waits, flushes and closes all logs. */
  stop(): Promise<StorageEnd>;
}

const OPEN_CONCURRENCY = 8;
const MAX_WAITING_FETCHES = 20_000;
const CHECKPOINT_INTERVAL_MS = 60_000;
const REPLICA_TICK_MS = 500;
const ISR_RETRY_BACKOFF_MS = 200;
const REFUSED_BACKOFF_MS = 50;
const COORDINATOR_TIMEOUT_MS = 3_000;
const DEFAULT_LIMITS: StorageLimits = {
  appendCreditBytes: 64 * 1024 * 1024,
  maxConcurrentReads: 8,
  maxOpenFetches: 10_000,
};

/**
 * Starts a storage node: its partitions follow the cluster's metadata, gateways reach
 * them through the registry.
 */
export async function startPartitionStorage(options: PartitionStorageOptions): Promise<PartitionStorage> {
  const { view, disk, clock, random, logger, directory, settings, nodeId, topicDefaults } = options;
  const metrics = new StorageMetrics(options.metrics);
  const resources = createLogResources({
    disk,
    clock,
    random,
    logger,
    tailCacheBytes: settings.tailCacheBytes,
    syncConcurrency: settings.syncConcurrency,
    maxOpenFiles: settings.maxOpenSegments,
    metrics: metrics.log,
    readBuffers: options.readBuffers,
  });
  const node = createNode(options, metrics);
  const store = new PartitionStore({
    view,
    directories: partitionDirectories(directory, resources),
    node,
    topicDefaults,
    clock,
    logger,
    maxWaitingFetches: MAX_WAITING_FETCHES,
    concurrency: OPEN_CONCURRENCY,
  });
  await store.start();

  const registry = new ServiceRegistry();
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const diskSpace = (): ReturnType<Disk["space"]> => disk.space(directory.root);
  const appendRefusal = (): ReturnType<DataDirectory["spaceGuard"]["refusal"]> =>
    directory.spaceGuard.refusal();
  registry.add(
    StorageService,
    createStorageService({ store, clock, metrics, limits, diskSpace, appendRefusal }),
  );
  options.serve(registry);
  const registration = await register(options, node, store).catch(async (thrown: unknown) => {
    await store.close();
    await node.close();
    throw thrown;
  });
  const ticks = new ReplicaTicks({ store, clock, intervalMs: REPLICA_TICK_MS });

  addGauges(metrics, store, directory, clock);
  const upkeep = new Upkeep({
    store,
    clock,
    logger,
    retentionCheckIntervalMs: settings.retentionCheckIntervalMs,
    checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
    spaceGuard: directory.spaceGuard,
  });

  return {
    notReady: () => notReady(store, registration.nodeEpoch, view, nodeId),
    replicas: () => store.replicas(),
    stop: async () => {
      const { nodeEpoch } = registration;
      await upkeep.stop();
      ticks.stop();
      const clean = await store.close();
      await registration.close();
      await node.close();
      await resources.openFiles.close();
      return { clean, nodeEpoch };
    },
  };
}

function createNode(options: PartitionStorageOptions, metrics: StorageMetrics): StorageNode {
  return new StorageNode({
    ...options,
    metrics,
    mutants: options.mutants,
    limits: {
      replicaLagTimeMaxMs: options.settings.replicaLagTimeMaxMs,
      isrRetryBackoffMs: ISR_RETRY_BACKOFF_MS,
      refusedBackoffMs: REFUSED_BACKOFF_MS,
    },
    followerStreams: NO_FOLLOWER_STREAMS,
    leaderStreams: NO_LEADER_STREAMS,
    controller: options.controllerTransport ?? noController,
    coordinatorTimeoutMs: COORDINATOR_TIMEOUT_MS,
  });
}

function register(
  options: PartitionStorageOptions,
  node: StorageNode,
  store: PartitionStore,
): Promise<KeptRegistration> {
  const { nodeId, zone, address, leaseTtlMs, view, random, clock, logger, directory, signal } = options;
  return keepRegistered({
    store: options.store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    ...(signal && { signal }),
    registration: {
      role: "partition-storage",
      nodeId,
      zone,
      addresses: [address],
      version: VERSION,
      incarnation: random.uuid(),
      directoryId: directory.directoryId,
      cleanShutdownNodeEpoch: directory.cleanShutdown?.nodeEpoch ?? -1,
    },
    onRegistered: (nodeEpoch) => {
      node.onRegistered(nodeEpoch);
      store.onRegistered(nodeEpoch);
    },
    onLost: () => {
      node.onLeaseLost();
      store.onLeaseLost();
    },
  });
}

function notReady(
  store: PartitionStore,
  nodeEpoch: number,
  view: ClusterView,
  nodeId: number,
): string | undefined {
  const known = view.storageNode(nodeId)?.lastNodeEpoch;
  if (known !== nodeEpoch) return "the coordinator has not taken this node in yet";
  return store.notReady();
}

function addGauges(
  metrics: StorageMetrics,
  store: PartitionStore,
  directory: DataDirectory,
  clock: Clock,
): void {
  const replicas = (): PartitionReplica[] => [...store.replicas()];
  const count = (wanted: (replica: PartitionReplica) => boolean): number => replicas().filter(wanted).length;
  const countLed = (wanted: (term: PartitionTerm) => boolean): number =>
    count(({ leader }) => leader !== undefined && wanted(leader.state.term));
  metrics.addGauges({
    partitions: () => replicas().length,
    leaders: () => count(({ leader }) => leader !== undefined),
    failedPartitions: () => count(({ failure }) => failure !== undefined),
    waitingAppends: () => replicas().reduce((sum, { leader }) => sum + (leader?.waitingAppends ?? 0), 0),
    waitingFetches: () => store.waitingFetches,
    diskFreeBytes: () => directory.spaceGuard.space.freeBytes,
    underReplicatedPartitions: () => countLed(({ isr, replicas: all }) => isr.length < all.length),
    underMinIsrPartitions: () => countLed(({ isr, minInsyncReplicas }) => isr.length < minInsyncReplicas),
    maxFollowerLagRecords: () =>
      replicas().reduce((max, { leader }) => Math.max(max, leader?.maxLagRecords(clock.monotonic()) ?? 0), 0),
  });
}
