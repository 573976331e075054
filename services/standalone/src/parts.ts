import { toOttlaError } from "@ottla/errors";
import type { Gateway } from "@ottla/gateway";
import type { NodeRole } from "@ottla/metadata";
import { ServiceRegistry } from "@ottla/rpc";
import {
  type Clock,
  type Disk,
  type Lifecycle,
  type Logger,
  type MetricsRegistry,
  type Network,
  NodeNetwork,
  type Random,
  type ReadBuffers,
  type Readiness,
  type Settings,
  type Tracer,
  VERSION,
} from "@ottla/runtime";
import { addPart } from "./add-part.ts";
import type { OpenCluster } from "./cluster.ts";
import type { Connections } from "./connections.ts";
import type { HeldIds } from "./held-ids.ts";
import type { PreStop } from "./prestop.ts";

/** What a node is made of. `settings.dataDir` is an absolute path. */
export interface NodeOptions {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** Undefined where nothing is traced. */
  readonly tracer?: Tracer | undefined;
  /** TCP unless another is given. */
  readonly network?: Network;
  /**
   * Gets the parts as they start; it may be stopped while they do. One of the node's own unless it is given.
   */
  readonly lifecycle?: Lifecycle;
}

/** What the parts of a node share. Each part adds its stop and its readiness, and loads its code first. */
export interface Wiring extends NodeOptions {
  readonly lifecycle: Lifecycle;
  readonly readiness: Readiness;
  readonly cluster: OpenCluster;
  readonly connections: Connections;
  readonly heldIds: HeldIds;
  /** Where other nodes reach this one. */
  readonly address: string;
  /** Where storage reads to and from which the gateway sends. */
  readonly readBuffers: ReadBuffers;
  readonly preStop: PreStop;
}

function common(wiring: Wiring, service: NodeRole) {
  const { settings, clock, random, logger, cluster, address } = wiring;
  const { nodeId, zone } = settings;
  const { leaseTtlMs } = settings.cluster;
  const { store, view } = cluster;
  const own = logger.child({ service, node: nodeId });
  const onHeld = (reason: string | undefined): void => wiring.heldIds.note(service, reason);
  return { nodeId, zone, address, leaseTtlMs, store, view, clock, random, logger: own, onHeld };
}

export async function startCoordinatorPart(wiring: Wiring): Promise<void> {
  const { startCoordinator } = await import("@ottla/coordinator");
  const registry = new ServiceRegistry();
  const coordinator = await startCoordinator({
    ...common(wiring, "coordinator"),
    cluster: wiring.cluster.name,
    version: VERSION,
    metrics: wiring.metrics,
    registry,
    settings: { ...wiring.settings, initialFeatureLevel: wiring.settings.cluster.initialFeatureLevel },
    storageTransport: (address) => wiring.connections.toAddress(address, "partition-storage"),
  });
  wiring.connections.serve("coordinator", registry);
  await addPart(wiring.lifecycle, "coordinator", () => coordinator.stop());
  wiring.readiness.add("coordinator", () => coordinator.notReady());
}

export async function startStoragePart(wiring: Wiring): Promise<void> {
  const { startPartitionStorage } = await import("@ottla/partition-storage");
  const { settings, cluster, lifecycle, readiness, connections } = wiring;
  const { directory } = cluster;
  if (directory === undefined) throw new Error("partition-storage needs the data directory");
  await directory.data.watch((error) => {
    wiring.logger.fatal({ dataDir: directory.data.root }, error.message);
    readiness.add("data-directory", () => error.message);
    lifecycle.fail(error);
  });
  const storage = await startPartitionStorage({
    ...common(wiring, "partition-storage"),
    serve: (registry) => connections.serve("partition-storage", registry),
    signal: cluster.closing,
    disk: wiring.disk,
    directory: directory.data,
    metrics: wiring.metrics,
    tracer: wiring.tracer,
    settings: settings.storage,
    topicDefaults: settings.topicDefaults,
    controllerTransport: () => connections.toController(),
    peerTransport: (nodeId) => connections.toStorage(nodeId, "replicate"),
    readBuffers: wiring.readBuffers,
    usesCodecThreads: true,
  }).catch((thrown: unknown) => {
    // A copy that is refused stays one, whose mark tells: the next start refuses it too.
    if (toOttlaError(thrown).code === "INVALID_DATA_DIRECTORY") directory.neverUsed();
    throw thrown;
  });
  wiring.preStop.set(() => storage.moveLeadersAway());
  await addPart(lifecycle, "partition-storage", async () => directory.storageEnded(await storage.stop()));
  readiness.add("partition-storage", () => storage.notReady());
  readiness.add("partition-storage-replicas", () => storage.replicasNotReady());
}

/** Kafka's default. A newcomer on a laptop starts consumers one by one, and has nothing from waiting. */
const INITIAL_REBALANCE_DELAY_MS = 3_000;

export async function startGroupCoordinatorPart(wiring: Wiring): Promise<void> {
  const { startGroupCoordinator } = await import("@ottla/group-coordinator");
  const { settings, connections } = wiring;
  const isAlone = wiring.cluster.identity === undefined;
  const groups = await startGroupCoordinator({
    ...common(wiring, "group-coordinator"),
    signal: wiring.cluster.closing,
    transportFor: (nodeId, purpose) => connections.toStorage(nodeId, purpose),
    metrics: wiring.metrics,
    serve: (registry) => connections.serve("group-coordinator", registry),
    limits: {
      ...settings.groups,
      initialRebalanceDelayMs:
        settings.groups.initialRebalanceDelayMs ?? (isAlone ? 0 : INITIAL_REBALANCE_DELAY_MS),
    },
  });
  await addPart(wiring.lifecycle, "group-coordinator", () => groups.stop());
  wiring.readiness.add("group-coordinator", () => groups.notReady());
}

export interface OpenDoors {
  readonly grpcPort: number;
  readonly kafkaPort: number;
}

/** Starts the gateway and opens its doors. */
export async function startGatewayPart(wiring: Wiring): Promise<OpenDoors> {
  const { startGateway } = await import("@ottla/gateway");
  const { settings, connections, lifecycle, readiness } = wiring;
  const gateway = await startGateway({
    ...common(wiring, "gateway"),
    readPreference: settings.readPreference,
    transportFor: (nodeId, purpose) => connections.toStorage(nodeId, purpose),
    controllerTransport: () => connections.toController(),
    groupTransport: (nodeId) => connections.toGroupCoordinator(nodeId),
    metrics: wiring.metrics,
    tracer: wiring.tracer,
    topicDefaults: settings.topicDefaults,
    groupDefaults: settings.groups,
    maxUnansweredBytesPerStream: settings.grpc.maxUnansweredBytesPerStream,
    kafka: {
      network: wiring.network ?? new NodeNetwork(),
      readBuffers: wiring.readBuffers,
      host: settings.listen,
      settings: settings.kafka,
      autoCreateTopics: settings.autoCreateTopics,
      numPartitions: settings.numPartitions,
      defaultReplicationFactor: settings.defaultReplicationFactor,
    },
    stopGraceMs: settings.shutdown.timeoutMs / 4,
  });
  await addPart(lifecycle, "gateway", () => gateway.stop());
  readiness.add("gateway", () => gateway.notReady());
  const grpcPort = await startGrpcPart(wiring, gateway);
  const { listen } = settings;
  gateway.register(`${listen.includes(":") ? `[${listen}]` : listen}:${grpcPort}`);
  return { grpcPort, kafkaPort: gateway.kafkaPort };
}

/** Opens the gRPC door in front of the gateway; returns its port. */
async function startGrpcPart(wiring: Wiring, gateway: Gateway): Promise<number> {
  const { GrpcServer, rpcAttributes } = await import("@ottla/rpc");
  const { settings, clock, logger, metrics, tracer } = wiring;
  const { port, maxConnections, maxStreamsPerConnection, maxMessageBytes } = settings.grpc;
  const grpc = new GrpcServer({
    registries: [gateway.registry],
    clock,
    host: settings.listen,
    port,
    logger,
    metrics,
    maxConnections,
    maxStreamsPerConnection,
    maxMessageBytes,
    startSpan:
      tracer &&
      (({ method, metadata }) =>
        isTraced(method)
          ? tracer.serve(method, metadata.get("traceparent"), rpcAttributes(method))
          : undefined),
  });
  const boundPort = await grpc.start();
  // First to stop: no new calls, and those under way are answered while everything behind still runs.
  await addPart(wiring.lifecycle, "grpc", async () => {
    gateway.endReads();
    await grpc.stop(settings.shutdown.timeoutMs / 2);
  });
  return boundPort;
}

/** gRPC's own services are asked all the time, by probes and tools, and do nothing. */
function isTraced(method: string): boolean {
  return method.startsWith("ottla.");
}
