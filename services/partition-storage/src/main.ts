import { createLogResources, type DataDirectory, type LogResources } from "@ottla/log";
import { ReplicationService } from "@ottla/proto/ottla/internal/v1/replication";
import { StorageService } from "@ottla/proto/ottla/internal/v1/storage";
import { inlineCodecs, pooledCodecs } from "@ottla/records";
import { ServiceRegistry } from "@ottla/rpc";
import type { Disk } from "@ottla/runtime";
import { CompactionMetrics } from "./compaction-metrics.ts";
import { CompactionScheduler } from "./compaction-scheduler.ts";
import { partitionDirectories } from "./directories.ts";
import { DiskWatchdog } from "./disk-watchdog.ts";
import { refuseOlderCopy } from "./older-copy.ts";
import { PartitionStore } from "./partition-store.ts";
import { registerStorage } from "./register-storage.ts";
import { ReplicaTicks } from "./replica-ticks.ts";
import type { ReplicationNode } from "./replication-node.ts";
import { createReplication } from "./replication-parts.ts";
import { type PartitionStorage, RunningStorage } from "./running-storage.ts";
import { addGauges } from "./storage-gauges.ts";
import { StorageMetrics } from "./storage-metrics.ts";
import type { PartitionStorageOptions } from "./storage-options.ts";
import { createStorageService, type StorageLimits } from "./storage-service.ts";
import { Upkeep } from "./upkeep.ts";

const OPEN_CONCURRENCY = 8;
const MAX_WAITING_FETCHES = 20_000;
const CHECKPOINT_INTERVAL_MS = 60_000;
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
  const { view, clock, logger, directory, settings, topicDefaults } = options;
  refuseOlderCopy(options);
  const metrics = new StorageMetrics(options.metrics);
  const watchdog = new DiskWatchdog({
    clock,
    logger,
    timeoutMs: settings.diskStallTimeoutMs,
    onStalled: () => store.onDiskStalled(),
  });
  const disk = watchdog.watch(options.disk);
  const resources = createResources({ ...options, disk }, metrics);
  const replication = createReplication(options, metrics, () => store);
  const { client, node, server } = replication;
  const store: PartitionStore = new PartitionStore({
    view,
    directories: partitionDirectories(directory, resources, options.mutants),
    node,
    topicDefaults,
    clock,
    logger,
    maxWaitingFetches: MAX_WAITING_FETCHES,
    concurrency: OPEN_CONCURRENCY,
  });
  await store.start();

  const registry = createRegistry({ ...options, disk }, store, node, metrics);
  registry.add(ReplicationService, server);
  options.serve(registry);
  const registration = await registerStorage(options, store, replication).catch(async (thrown: unknown) => {
    client.close();
    await store.close();
    await node.close();
    throw thrown;
  });
  watchdog.start();
  const ticks = new ReplicaTicks({ node, clock });

  addGauges(metrics, store, directory, clock);
  const upkeep = new Upkeep({
    store,
    clock,
    logger,
    retentionCheckIntervalMs: settings.retentionCheckIntervalMs,
    checkpointIntervalMs: options.checkpointIntervalMs ?? CHECKPOINT_INTERVAL_MS,
    spaceGuard: directory.spaceGuard,
  });

  const compaction = new CompactionScheduler({
    store,
    clock,
    logger,
    metrics: new CompactionMetrics(options.metrics),
    checkIntervalMs: settings.compactionCheckIntervalMs,
    bytesPerSecond: settings.compactionBytesPerSecond,
    memoryBytes: settings.compactionMemoryBytes,
    spaceGuard: directory.spaceGuard,
  });

  const parts = { compaction, registration, replication, resources, store, ticks, upkeep, watchdog };
  return new RunningStorage(options, parts);
}

function createRegistry(
  options: PartitionStorageOptions,
  store: PartitionStore,
  node: ReplicationNode,
  metrics: StorageMetrics,
): ServiceRegistry {
  const registry = new ServiceRegistry();
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { clock, directory, disk, tracer, view } = options;
  const nodeEpoch = (): number => node.identity?.nodeEpoch ?? directory.cleanShutdown?.nodeEpoch ?? -1;
  // A disk that does not answer has the space that it had.
  const diskSpace = (): ReturnType<Disk["space"]> =>
    disk.space(directory.root).catch(() => directory.spaceGuard.space);
  const appendRefusal = (): ReturnType<DataDirectory["refusal"]> => directory.refusal();
  registry.add(
    StorageService,
    createStorageService({
      store,
      clock,
      metrics,
      limits,
      tracer,
      diskSpace,
      appendRefusal,
      describeLogs: { store, view, directoryId: directory.directoryId, nodeEpoch },
    }),
  );
  return registry;
}

function createResources(options: PartitionStorageOptions, metrics: StorageMetrics): LogResources {
  const { settings } = options;
  return createLogResources({
    ...options,
    codecs: options.usesCodecThreads === true ? pooledCodecs : inlineCodecs,
    tailCacheBytes: settings.tailCacheBytes,
    syncConcurrency: settings.syncConcurrency,
    maxOpenFiles: settings.maxOpenSegments,
    metrics: metrics.log,
  });
}
