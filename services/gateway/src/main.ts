import { type ClusterView, type KeptRegistration, keepRegistered, type MetadataStore } from "@ottla/metadata";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { PartitionRouter, type TransportFor } from "@ottla/routing";
import { ServiceRegistry, type Transport } from "@ottla/rpc";
import { type Clock, type Logger, type MetricsRegistry, type Random, VERSION } from "@ottla/runtime";
import { createAdminService } from "./admin-service/admin-service.ts";
import { ConnectionLimits } from "./connection-limits.ts";
import { ControllerClient } from "./controller-client.ts";
import { GatewayMetrics } from "./gateway-metrics.ts";
import { type KafkaListenOptions, startKafkaDoor } from "./kafka/kafka-door.ts";
import { createLogService } from "./log-service/log-service.ts";
import { Partitioner } from "./log-service/partitioner.ts";
import { ProducerIds } from "./log-service/producer-ids.ts";
import { addOffsetExporter } from "./offset-exporter.ts";
import { Topics } from "./topics.ts";

export interface GatewayOptions {
  readonly nodeId: number;
  readonly zone: string;
  /** Where clients reach this gateway, for `DescribeCluster`. */
  readonly address: string;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  /** Connections to storage nodes. */
  readonly transportFor: TransportFor;
  /** A connection to the active coordinator. */
  readonly controllerTransport: () => Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** The node's own values for topic settings that a topic does not set. */
  readonly topicDefaults: Readonly<Record<string, string>>;
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
  /** Undefined when clients may come, else why not. */
  notReady(): string | undefined;
  /** Ends reads that would otherwise wait on, so that the server in front can stop; appends go on. */
  endReads(): void;
  stop(): Promise<void>;
}

const LEASE_TTL_MS = 10_000;
const MAX_READS_PER_CONNECTION = 200;
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
  const topics = new Topics({ view, topicDefaults, logger, onGone: (name) => metrics.forgetTopic(name) });
  const router = new PartitionRouter({ view, transportFor, clock });
  const connections = new ConnectionLimits({
    maxUnansweredBytes: 2 * options.maxUnansweredBytesPerStream,
    maxReads: MAX_READS_PER_CONNECTION,
  });
  const transport = options.controllerTransport;
  const controller = new ControllerClient({ view, clock, transport, retryMs: CONTROLLER_RETRY_MS });

  const producerIds = new ProducerIds({ controller, nodeId });
  const registry = new ServiceRegistry();
  registry.add(
    LogService,
    createLogService({
      topics,
      router,
      connections,
      clock,
      metrics,
      partitioner: new Partitioner(random),
      producerIds,
      maxUnansweredBytesPerStream: options.maxUnansweredBytesPerStream,
      maxBufferedBytesPerStream: MAX_BUFFERED_BYTES_PER_READ,
    }),
  );
  registry.add(AdminService, createAdminService({ topics, router, controller, view, clock, topicDefaults }));

  metrics.addGauges({
    connections: () => connections.connectionCount,
    waitingBytes: () => router.load().waitingBytes,
    unansweredBytes: () => router.load().unansweredBytes,
    pendingFetches: () => router.load().pendingFetches,
    retries: () => router.load().retries,
  });
  addOffsetExporter({ registry: options.metrics, view, router, maxPartitions: MAX_PARTITION_SERIES });

  const kafka = await startKafkaDoor({
    listen: options.kafka,
    nodeId,
    zone: options.zone,
    topics,
    view,
    router,
    controller,
    producerIds,
    gatewayMetrics: metrics,
    topicDefaults,
    clock,
    random,
    logger,
    metrics: options.metrics,
  });
  const registered = await register(options);
  return {
    registry,
    kafkaPort: kafka.port,
    notReady: () => (view.controller === undefined ? "no coordinator is active" : undefined),
    endReads: () => connections.endReads(),
    stop: async () => {
      await kafka.stop(options.stopGraceMs);
      await router.close();
      await registered.close();
    },
  };
}

function register(options: GatewayOptions): Promise<KeptRegistration> {
  const { nodeId, zone, address, store, view, random, clock, logger } = options;
  const { advertisedAddress: kafkaAddress } = options.kafka.settings;
  return keepRegistered({
    store,
    keys: view.keys,
    ttlMs: LEASE_TTL_MS,
    clock,
    logger,
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
  });
}
