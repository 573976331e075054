import { createLogResources, type DataDirectory, type LogResources } from "@ottla/log";
import type { ClusterView } from "@ottla/metadata";
import { ReplicationService } from "@ottla/proto/ottla/internal/v1/replication";
import { StorageService } from "@ottla/proto/ottla/internal/v1/storage";
import { ServiceRegistry } from "@ottla/rpc";
import type { Disk } from "@ottla/runtime";
import { partitionDirectories } from "./directories.ts";
import type { PartitionReplica } from "./partition-replica.ts";
import { PartitionStore } from "./partition-store.ts";
import { registerStorage } from "./register-storage.ts";
import { ReplicaTicks } from "./replica-ticks.ts";
import { createReplication } from "./replication-parts.ts";
import { addGauges } from "./storage-gauges.ts";
import { StorageMetrics } from "./storage-metrics.ts";
import type { PartitionStorageOptions } from "./storage-options.ts";
import { createStorageService, type StorageLimits } from "./storage-service.ts";
import { Upkeep } from "./upkeep.ts";

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
  const { view, disk, clock, logger, directory, settings, nodeId, topicDefaults } = options;
  const metrics = new StorageMetrics(options.metrics);
  const resources = createResources(options, metrics);
  const replication = createReplication(options, metrics, () => store);
  const { client, node, server } = replication;
  const store: PartitionStore = new PartitionStore({
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
  registry.add(ReplicationService, server);
  options.serve(registry);
  const registration = await registerStorage(options, store, replication).catch(async (thrown: unknown) => {
    client.close();
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
      client.close();
      const clean = await store.close();
      await registration.close();
      await node.close();
      await resources.openFiles.close();
      return { clean, nodeEpoch };
    },
  };
}

function createResources(options: PartitionStorageOptions, metrics: StorageMetrics): LogResources {
  const { settings } = options;
  return createLogResources({
    ...options,
    tailCacheBytes: settings.tailCacheBytes,
    syncConcurrency: settings.syncConcurrency,
    maxOpenFiles: settings.maxOpenSegments,
    metrics: metrics.log,
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
