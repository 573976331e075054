import { startCoordinator } from "@ottla/coordinator";
import { startGateway } from "@ottla/gateway";
import { startGroupCoordinator } from "@ottla/group-coordinator";
import { openDataDirectory, startPartitionStorage } from "@ottla/partition-storage";
import { ServiceRegistry } from "@ottla/rpc";
import { createMetricsRegistry, type MemoryDisk, type Network, type Settings, VERSION } from "@ottla/runtime";
import { coordinatorMutants, groupMutants, replicationMutants } from "./mutants.ts";
import type { Mutant } from "./mutants-to-find.ts";
import { diskOf } from "./process-disk.ts";
import type { NodeSurroundings, StartService } from "./simulated-node.ts";
import { CLUSTER, LEASE_TTL_MS } from "./simulation.ts";

export interface ServiceOptions {
  readonly settings: Settings;
  readonly replicationFactor: number;
  readonly mutants: ReadonlySet<Mutant>;
}

const ROOT = "/data";

/**
 * The services as `services/standalone` composes them, over what the simulation has
 * in place of a machine.
 */
export function storageService(
  nodeId: number,
  disk: () => MemoryDisk,
  options: ServiceOptions,
): StartService {
  const { settings } = options;
  return async (around) => {
    const { process, clusterId, logger, random, view } = around;
    const { clock } = process;
    const processDisk = diskOf(process, disk());
    const directory = await openDataDirectory({
      root: ROOT,
      disk: processDisk,
      clock,
      random,
      logger,
      nodeId,
      clusterId,
      headroomBytes: HEADROOM_BYTES,
    });
    const storage = await startPartitionStorage({
      ...common(around, nodeId, settings),
      serve: (registry) => around.server.add(registry),
      disk: processDisk,
      directory,
      metrics: createMetricsRegistry(),
      settings: settings.storage,
      peerTransport: (node) => around.toStorage(node),
      topicDefaults: settings.topicDefaults,
      view,
      controllerTransport: () => around.toController(),
      checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
      mutants: replicationMutants(options.mutants),
    });
    return {
      stop: async () => {
        const { clean, nodeEpoch } = await storage.stop();
        await directory.close(clean ? { clean, nodeEpoch } : { clean });
      },
      replicas: () => storage.replicas(),
    };
  };
}

export function coordinatorService(nodeId: number, options: ServiceOptions): StartService {
  return async (around) => {
    const registry = new ServiceRegistry();
    const coordinator = await startCoordinator({
      ...common(around, nodeId, options.settings),
      cluster: CLUSTER,
      version: VERSION,
      metrics: createMetricsRegistry(),
      registry,
      settings: { ...options.settings, defaultReplicationFactor: options.replicationFactor },
      mutants: coordinatorMutants(options.mutants),
    });
    around.server.add(registry);
    return { stop: () => coordinator.stop() };
  };
}

export function gatewayService(
  nodeId: number,
  { settings, replicationFactor }: ServiceOptions,
): StartService {
  return async (around) => {
    const gateway = await startGateway({
      ...common(around, nodeId, settings),
      readPreference: settings.readPreference,
      transportFor: (node) => around.toStorage(node),
      controllerTransport: () => around.toController(),
      groupTransport: (node) => around.toGroupCoordinator(node),
      metrics: createMetricsRegistry(),
      topicDefaults: settings.topicDefaults,
      groupDefaults: settings.groups,
      maxUnansweredBytesPerStream: settings.grpc.maxUnansweredBytesPerStream,
      kafka: {
        network: NO_NETWORK,
        host: "gateway",
        settings: settings.kafka,
        autoCreateTopics: false,
        numPartitions: settings.numPartitions,
        defaultReplicationFactor: replicationFactor,
      },
      stopGraceMs: STOP_GRACE_MS,
    });
    around.server.add(gateway.registry);
    gateway.register(around.address);
    return {
      stop: async () => {
        gateway.endReads();
        await around.server.stop(STOP_GRACE_MS);
        await gateway.stop();
      },
    };
  };
}

export function groupCoordinatorService(nodeId: number, options: ServiceOptions): StartService {
  return async (around) => {
    const groups = await startGroupCoordinator({
      ...common(around, nodeId, options.settings),
      transportFor: (node) => around.toStorage(node),
      metrics: createMetricsRegistry(),
      serve: (registry) => around.server.add(registry),
      limits: { ...options.settings.groups, initialRebalanceDelayMs: INITIAL_REBALANCE_DELAY_MS },
      mutants: groupMutants(options.mutants),
    });
    return { stop: () => groups.stop(), owned: () => groups.owned() };
  };
}

const CHECKPOINT_INTERVAL_MS = 2_000;
const INITIAL_REBALANCE_DELAY_MS = 200;
/** What the disk guard keeps free: little, so that disks fill up for good. */
const HEADROOM_BYTES = 64 * 1024;
const STOP_GRACE_MS = 2_000;

function common(
  { address, logger, process, random, store, view }: NodeSurroundings,
  nodeId: number,
  { readPreference }: Settings,
) {
  const { clock } = process;
  // A gateway and a storage node for each zone: gateways then read from followers, too.
  const zone = readPreference === "nearest" ? `zone-${nodeId}` : "";
  return { nodeId, zone, address, leaseTtlMs: LEASE_TTL_MS, store, view, clock, random, logger };
}

/** Kafka's door stays shut: clients of the simulation come in over gRPC. */
const NO_NETWORK: Network = {
  listen: () => Promise.resolve({ port: 1, close: () => Promise.resolve() }),
  connect: () => Promise.reject(new Error("the simulation has no byte streams")),
};
