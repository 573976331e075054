import { OttlaError } from "@ottla/errors";
import type { StorageEnd } from "@ottla/partition-storage";
import { ServiceRegistry } from "@ottla/rpc";
import type { Settings } from "@ottla/runtime";
import {
  type Clock,
  type Disk,
  Lifecycle,
  type Logger,
  type MetricsRegistry,
  type Network,
  NodeNetwork,
  type Random,
  Readiness,
  startHttpServer,
  VERSION,
} from "@ottla/runtime";
import { openCluster } from "./cluster.ts";
import { LocalConnections } from "./local-connections.ts";

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

export interface RunningNode {
  readonly grpcPort: number;
  readonly kafkaPort: number;
  readonly httpPort: number;
  readonly clusterId: string;
  readonly lifecycle: Lifecycle;
  readonly readiness: Readiness;
  /** Resolves when the node is ready to serve. */
  untilReady(): Promise<void>;
}

/** How services of one process name their address. */
const IN_PROCESS = "in-process";
const READY_CHECK_MS = 5;

/** Starts all services in this process. What has started is stopped again when a later part fails. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { clock, logger, settings } = options;
  const lifecycle = new Lifecycle({ clock, logger });
  try {
    return await start(options, lifecycle);
  } catch (thrown) {
    await lifecycle.stop(settings.shutdown.timeoutMs);
    throw thrown;
  }
}

async function start(options: NodeOptions, lifecycle: Lifecycle): Promise<RunningNode> {
  const { settings, clock, random, disk, logger, metrics } = options;
  const { nodeId, zone, topicDefaults } = settings;
  refuseWhatNeedsEtcd(settings);
  const common = { clock, random, nodeId, zone, address: IN_PROCESS };
  const readiness = new Readiness({ clock });
  readiness.add("shutdown", () => (lifecycle.stopping ? "the node is stopping" : undefined));
  // The HTTP door opens first; the checks of the parts are added as they start.
  readiness.add("start", () => "the node is starting");

  const http = await startHttpServer({
    host: settings.listen,
    port: settings.http.port,
    maxConnections: settings.http.maxConnections,
    clock,
    readiness,
    metrics,
    logger,
  });
  lifecycle.add("http", () => http.close());

  const cluster = await openCluster(options);
  let storageEnd: StorageEnd = { clean: false, nodeEpoch: -1 };
  lifecycle.add("metadata", () => cluster.close(storageEnd));
  const { store, view, clusterId } = cluster;
  const connections = new LocalConnections({ clock, logger });

  const { startCoordinator } = await import("@ottla/coordinator");
  const coordinatorRegistry = new ServiceRegistry();
  const coordinator = await startCoordinator({
    ...common,
    store,
    cluster: cluster.name,
    view,
    version: VERSION,
    logger: logger.child({ service: "coordinator" }),
    metrics,
    registry: coordinatorRegistry,
    settings,
  });
  lifecycle.add("coordinator", () => coordinator.stop());
  connections.serve("coordinator", coordinatorRegistry);

  const { startPartitionStorage } = await import("@ottla/partition-storage");
  const storage = await startPartitionStorage({
    ...common,
    store,
    view,
    disk,
    directory: cluster.directory,
    logger: logger.child({ service: "partition-storage" }),
    metrics,
    settings: settings.storage,
    topicDefaults,
  });
  lifecycle.add("partition-storage", async () => {
    storageEnd = await storage.stop();
  });
  connections.serve("partition-storage", storage.registry);
  readiness.add("partition-storage", () => storage.notReady());

  const { startGroupCoordinator } = await import("@ottla/group-coordinator");
  const groups = await startGroupCoordinator({
    ...common,
    store,
    view,
    logger: logger.child({ service: "group-coordinator" }),
  });
  lifecycle.add("group-coordinator", () => groups.stop());
  readiness.add("group-coordinator", () => groups.notReady());

  const { startGateway } = await import("@ottla/gateway");
  const gateway = await startGateway({
    ...common,
    store,
    view,
    transportFor: () => connections.to("partition-storage"),
    controllerTransport: () => connections.to("coordinator"),
    logger: logger.child({ service: "gateway" }),
    metrics,
    topicDefaults,
    maxUnansweredBytesPerStream: settings.grpc.maxUnansweredBytesPerStream,
    kafka: {
      network: options.network ?? new NodeNetwork(),
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

  const { GrpcServer } = await import("@ottla/rpc");
  const grpc = new GrpcServer({
    registries: [gateway.registry],
    clock,
    host: settings.listen,
    port: settings.grpc.port,
    logger,
    maxConnections: settings.grpc.maxConnections,
    maxStreamsPerConnection: settings.grpc.maxStreamsPerConnection,
    maxMessageBytes: settings.grpc.maxMessageBytes,
  });
  const grpcPort = await grpc.start();
  // First to stop: no new calls, and those under way are answered while everything behind still runs.
  lifecycle.add("grpc", async () => {
    gateway.endReads();
    await grpc.stop(settings.shutdown.timeoutMs / 2);
  });
  readiness.remove("start");

  return {
    grpcPort,
    kafkaPort: gateway.kafkaPort,
    httpPort: http.port,
    clusterId,
    lifecycle,
    readiness,
    untilReady: async () => {
      while (!lifecycle.stopping && !(await readiness.report()).ready) await clock.sleep(READY_CHECK_MS);
    },
  };
}

/** Until nodes can find one another, one process is the whole cluster. */
function refuseWhatNeedsEtcd(settings: Settings): void {
  const targets = new Set(settings.target);
  if (targets.size >= 4) return;
  throw new OttlaError(
    "INVALID_CONFIG",
    `target ${settings.target.join(",")}: running roles in separate processes needs etcd, which this version does ` +
      "not support yet; use --target=all",
    { metadata: { field: "target", limit: "all" } },
  );
}
