import type { Gateway } from "@ottla/gateway";
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
  type Readiness,
  type Settings,
  VERSION,
} from "@ottla/runtime";
import type { OpenCluster } from "./cluster.ts";
import type { LocalConnections } from "./local-connections.ts";

/** What a node is made of. `settings.dataDir` is an absolute path. */
export interface NodeOptions {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** TCP unless another is given. */
  readonly network?: Network;
}

/** What the parts of a node share. Each part adds its stop and its readiness, and loads its code first. */
export interface Wiring extends NodeOptions {
  readonly lifecycle: Lifecycle;
  readonly readiness: Readiness;
  readonly cluster: OpenCluster;
  readonly connections: LocalConnections;
}

/** How services of one process name their address. */
const IN_PROCESS = "in-process";

function common(wiring: Wiring, service: string) {
  const { settings, clock, random, logger, cluster } = wiring;
  const { nodeId, zone } = settings;
  const { store, view } = cluster;
  const own = logger.child({ service });
  return { nodeId, zone, address: IN_PROCESS, store, view, clock, random, logger: own };
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
    settings: wiring.settings,
  });
  wiring.lifecycle.add("coordinator", () => coordinator.stop());
  wiring.connections.serve("coordinator", registry);
}

export async function startStoragePart(wiring: Wiring): Promise<void> {
  const { startPartitionStorage } = await import("@ottla/partition-storage");
  const { settings, cluster, lifecycle, readiness, connections } = wiring;
  const storage = await startPartitionStorage({
    ...common(wiring, "partition-storage"),
    disk: wiring.disk,
    directory: cluster.directory,
    metrics: wiring.metrics,
    settings: settings.storage,
    topicDefaults: settings.topicDefaults,
  });
  lifecycle.add("partition-storage", async () => cluster.storageEnded(await storage.stop()));
  connections.serve("partition-storage", storage.registry);
  readiness.add("partition-storage", () => storage.notReady());
}

export async function startGroupCoordinatorPart(wiring: Wiring): Promise<void> {
  const { startGroupCoordinator } = await import("@ottla/group-coordinator");
  const groups = await startGroupCoordinator(common(wiring, "group-coordinator"));
  wiring.lifecycle.add("group-coordinator", () => groups.stop());
  wiring.readiness.add("group-coordinator", () => groups.notReady());
}

export async function startGatewayPart(wiring: Wiring): Promise<Gateway> {
  const { startGateway } = await import("@ottla/gateway");
  const { settings, connections, lifecycle, readiness } = wiring;
  const gateway = await startGateway({
    ...common(wiring, "gateway"),
    transportFor: () => connections.to("partition-storage"),
    controllerTransport: () => connections.to("coordinator"),
    metrics: wiring.metrics,
    topicDefaults: settings.topicDefaults,
    maxUnansweredBytesPerStream: settings.grpc.maxUnansweredBytesPerStream,
    kafka: {
      network: wiring.network ?? new NodeNetwork(),
      host: settings.listen,
      settings: settings.kafka,
      autoCreateTopics: settings.autoCreateTopics,
      numPartitions: settings.numPartitions,
      defaultReplicationFactor: settings.defaultReplicationFactor,
    },
    stopGraceMs: settings.shutdown.timeoutMs / 4,
  });
  lifecycle.add("gateway", () => gateway.stop());
  readiness.add("gateway", () => gateway.notReady());
  return gateway;
}

/** Opens the gRPC door in front of the gateway; returns its port. */
export async function startGrpcPart(wiring: Wiring, gateway: Gateway): Promise<number> {
  const { GrpcServer } = await import("@ottla/rpc");
  const { settings, clock, logger } = wiring;
  const { port, maxConnections, maxStreamsPerConnection, maxMessageBytes } = settings.grpc;
  const grpc = new GrpcServer({
    registries: [gateway.registry],
    clock,
    host: settings.listen,
    port,
    logger,
    maxConnections,
    maxStreamsPerConnection,
    maxMessageBytes,
  });
  const boundPort = await grpc.start();
  // First to stop: no new calls, and those under way are answered while everything behind still runs.
  wiring.lifecycle.add("grpc", async () => {
    gateway.endReads();
    await grpc.stop(settings.shutdown.timeoutMs / 2);
  });
  return boundPort;
}
