import {
  type ClusterView,
  type GroupConfig,
  type KeptRegistration,
  keepRegistered,
  type MetadataStore,
  type OnHeld,
} from "@ottla/metadata";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { GroupService } from "@ottla/proto/ottla/v1/group";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { ControllerClient, GroupRouter, PartitionRouter, type TransportFor } from "@ottla/routing";
import { ServiceRegistry, type Transport } from "@ottla/rpc";
import {
  type Clock,
  type Logger,
  type MetricsRegistry,
  type Random,
  type Tracer,
  VERSION,
} from "@ottla/runtime";
import { createAdminService } from "./admin-service/admin-service.ts";
import { ConnectionLimits } from "./connection-limits.ts";

import { GatewayMetrics } from "./gateway-metrics.ts";
import { createGroupService } from "./group-service/group-service.ts";
import { type KafkaListenOptions, startKafkaDoor } from "./kafka/kafka-door.ts";
import { createLogService } from "./log-service/log-service.ts";
import { Partitioner } from "./log-service/partitioner.ts";
import { ProducerIds } from "./log-service/producer-ids.ts";
import { addOffsetExporter } from "./offset-exporter.ts";
import { addReplicaExporter } from "./replica-exporter.ts";
import { Topics } from "./topics.ts";

export interface GatewayOptions {
  readonly nodeId: number;
  readonly zone: string;
  /** Whether to read from a replica in `zone` where there is one. */
  readonly readPreference: "leader" | "nearest";
  readonly leaseTtlMs: number;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  /** Called when another process has the node's id, and when it has not any more. */
  readonly onHeld?: OnHeld;
  /** Connections to storage nodes. */
  readonly transportFor: TransportFor;
  /** A connection to the active coordinator. */
  readonly controllerTransport: () => Transport;
  /** A connection of its own to a group-coordinator. */
  readonly groupTransport: (nodeId: number) => Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly tracer?: Tracer | undefined;
  /** The node's own values for topic settings that a topic does not set. */
  readonly topicDefaults: Readonly<Record<string, string>>;
  /** The node's own values for settings of groups that a group does not set. */
  readonly groupDefaults: GroupConfig;
  readonly maxUnansweredBytesPerStream: number;
  /** Where Kafka's clients come in. */
  readonly kafka: KafkaListenOptions;
  /** How long requests of Kafka's clients that have begun may take when the gateway stops. */
  readonly stopGraceMs: number;
}

export interface Gateway {
  readonly kafkaPort: number;
  /** The public services, to be served by the process's gRPC server. */
  readonly registry: ServiceRegistry;
  /**
   * Undefined when clients may come, else why not. A cluster that loses its coordinator keeps its gateways.
   */
  notReady(): string | undefined;
  /**
   * Registers the gateway in the background: nothing that it does depends on it. `address` is where clients
   * reach it, for `DescribeCluster`.
   */
  register(address: string): void;
  /** Ends reads that would otherwise wait on, so that the server in front can stop; appends go on. */
  endReads(): void;
  stop(): Promise<void>;
}

const MAX_READS_PER_CONNECTION = 200;
const MAX_READ_PARTITIONS_PER_CONNECTION = 2_000;
const MAX_BUFFERED_BYTES_PER_READ = 4 * 1024 * 1024;
const MAX_TOPIC_SERIES = 1_000;
const MAX_PARTITION_SERIES = 10_000;
const CONTROLLER_RETRY_MS = 10_000;

/**
 * Starts a gateway: the public API in front of the partitions' leaders and the coordinator. Keeps no state.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { view, clock, random, logger, topicDefaults, nodeId, transportFor } = options;
  const metrics = new GatewayMetrics(options.metrics, MAX_TOPIC_SERIES);
  const onGone = (name: string): void => metrics.forgetTopic(name);
  const topics = new Topics({ view, clock, topicDefaults, logger, onGone });
  const router = new PartitionRouter({ view, transportFor, clock, readZone: readZoneOf(options) });
  const connections = new ConnectionLimits({
    maxUnansweredBytes: 2 * options.maxUnansweredBytesPerStream,
    maxReads: MAX_READS_PER_CONNECTION,
    maxReadPartitions: MAX_READ_PARTITIONS_PER_CONNECTION,
  });
  const { controllerTransport: transport, groupTransport: transportTo } = options;
  const controller = new ControllerClient({ view, clock, transport, retryMs: CONTROLLER_RETRY_MS });
  const groups = new GroupRouter({ view, clock, controller, transportTo });
  const producerIds = new ProducerIds({ controller, nodeId });
  const { tracer } = options;
  const shared = { topics, router, connections, clock, metrics, tracer };
  const registry = new ServiceRegistry();
  registry.add(
    LogService,
    createLogService({
      ...shared,
      partitioner: new Partitioner(random),
      producerIds,
      maxUnansweredBytesPerStream: options.maxUnansweredBytesPerStream,
      maxBufferedBytesPerStream: MAX_BUFFERED_BYTES_PER_READ,
    }),
  );
  registry.add(AdminService, createAdminService({ topics, router, controller, view, clock, topicDefaults }));
  registry.add(GroupService, createGroupService({ ...shared, groups, view, random, logger }));

  addGauges(metrics, router, connections);
  const exported = { registry: options.metrics, view, maxPartitions: MAX_PARTITION_SERIES };
  addOffsetExporter({ ...exported, router, clock });
  addReplicaExporter(exported);

  const kafka = await startKafkaDoor({
    ...options,
    listen: options.kafka,
    topics,
    router,
    groups,
    controller,
    producerIds,
    gatewayMetrics: metrics,
  });
  dropLostNodes(view, router);
  const registration = createRegistration(options);
  const isControlled = onceControlled(view, () => producerIds.prepare());
  return {
    registry,
    kafkaPort: kafka.port,
    notReady: () => {
      if (!isControlled()) return "no coordinator is active";
      return registration.stood ? undefined : "the node is not registered";
    },
    register: (address) => registration.begin(address),
    endReads: () => connections.endReads(),
    stop: async () => {
      await kafka.stop(options.stopGraceMs);
      await Promise.all([router.close(), groups.close()]);
      await registration.end();
    },
  };
}

function readZoneOf({ readPreference, zone }: GatewayOptions): string {
  return readPreference === "nearest" ? zone : "";
}

/** A gateway is of use from the time that it has seen a coordinator; later ones may come and go. */
function onceControlled(view: ClusterView, onElected: () => void): () => boolean {
  let seen = false;
  const look = (): void => {
    if (view.controller === undefined) return;
    seen = true;
    onElected();
  };
  view.onChange(({ controllerChanged }) => {
    if (controllerChanged) look();
  });
  look();
  return () => seen;
}

/** Connections lead to one registration of a node: after it, the same address may be another process. */
function dropLostNodes(view: ClusterView, router: PartitionRouter): void {
  const epochs = new Map<number, number>();
  view.onChange(({ nodes }) => {
    for (const { role, nodeId } of nodes) {
      if (role !== "partition-storage") continue;
      const nodeEpoch = view.node(role, nodeId)?.nodeEpoch ?? -1;
      if (epochs.get(nodeId) === nodeEpoch) continue;
      epochs.set(nodeId, nodeEpoch);
      router.drop(nodeId);
    }
  });
}

function addGauges(metrics: GatewayMetrics, router: PartitionRouter, connections: ConnectionLimits): void {
  metrics.addGauges({
    connections: () => connections.connectionCount,
    waitingBytes: () => router.load().waitingBytes,
    unansweredBytes: () => router.load().unansweredBytes,
    pendingFetches: () => router.load().pendingFetches,
    retries: () => router.load().retries,
    followerReads: () => router.load().followerReads,
    ejectedNodes: () => router.load().ejectedNodes,
  });
}

interface GatewayRegistration {
  /** Whether it was there once: a gateway that loses its lease, as while etcd is away, goes on. */
  readonly stood: boolean;
  begin(address: string): void;
  end(): Promise<void>;
}

function createRegistration(options: GatewayOptions): GatewayRegistration {
  const leaving = new AbortController();
  let registration: ReturnType<typeof register> | undefined;
  let stood = false;
  return {
    get stood() {
      return stood;
    },
    begin: (address) => {
      registration = register(options, address, leaving.signal, () => {
        stood = true;
      });
    },
    end: async () => {
      leaving.abort();
      await (await registration)?.close();
    },
  };
}

/** Undefined when the signal aborted first. */
async function register(
  options: GatewayOptions,
  address: string,
  signal: AbortSignal,
  onRegistered: () => void,
): Promise<KeptRegistration | undefined> {
  const { nodeId, zone, leaseTtlMs, store, view, random, clock, logger } = options;
  const { advertisedAddress: kafkaAddress } = options.kafka.settings;
  return keepRegistered({
    store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    signal,
    onRegistered,
    ...(options.onHeld && { onHeld: options.onHeld }),
    registration: {
      role: "gateway",
      nodeId,
      zone,
      addresses: [address],
      ...(kafkaAddress === undefined ? {} : { kafkaAddress }),
      version: VERSION,
      incarnation: random.uuid(),
      directoryId: "",
      cleanShutdownNodeEpoch: -1,
    },
  }).catch(() => undefined);
}
