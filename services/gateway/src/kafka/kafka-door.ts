import { OttlaError } from "@ottla/errors";
import type { ClusterView, GroupConfig, TopicConfigMap } from "@ottla/metadata";
import type { ControllerClient, GroupRouter, PartitionRouter } from "@ottla/routing";
import {
  behindProxy,
  type Clock,
  LimitedLogger,
  type Logger,
  type MetricsRegistry,
  type Network,
  type Random,
  ReadBuffers,
  type Settings,
  type Tracer,
} from "@ottla/runtime";
import { ByteBudget } from "../byte-budget.ts";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import type { ProducerIds } from "../log-service/producer-ids.ts";
import type { Topics } from "../topics.ts";
import { FetchBudget } from "./fetch-budget.ts";
import { FetchSessions } from "./fetch-session.ts";
import { kafkaHandlers } from "./handlers.ts";
import { KafkaFailures } from "./kafka-failures.ts";
import { KafkaMetrics } from "./kafka-metrics.ts";
import { KafkaServer } from "./kafka-server.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { RequestMemory } from "./request-memory.ts";
import { TopicChanges } from "./topic-changes.ts";
import { GatewayBrokers, parseHostAndPort, SharedBroker, type VirtualBrokers } from "./virtual-brokers.ts";

/** Where and how the Kafka door listens. */
export interface KafkaListenOptions {
  readonly network: Network;
  /** Shared with the storage of the same process, whose reads go to them. */
  readonly readBuffers?: ReadBuffers;
  readonly host: string;
  readonly settings: Settings["kafka"];
  readonly autoCreateTopics: boolean;
  readonly numPartitions: number;
  readonly defaultReplicationFactor: number | undefined;
}

export interface KafkaDoorOptions {
  readonly listen: KafkaListenOptions;
  readonly nodeId: number;
  readonly zone: string;
  readonly topics: Topics;
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly groups: GroupRouter;
  readonly controller: ControllerClient;
  readonly producerIds: ProducerIds;
  readonly gatewayMetrics: GatewayMetrics;
  readonly topicDefaults: TopicConfigMap;
  readonly groupDefaults: GroupConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly tracer?: Tracer | undefined;
}

export interface KafkaDoor {
  readonly port: number;
  /** Accepts no more and lets requests that have begun be answered for at most `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/** Kafka's default of a broker's fetch.max.bytes. */
const MAX_FETCH_BYTES = 55 * 1024 * 1024;
const MAX_WAIT_MS = 300_000;
const PROXY_HEADER_TIMEOUT_MS = 5_000;
/** Partitions that the fetch sessions of all connections remember: about 100 bytes each. */
const MAX_SESSION_PARTITIONS = 200_000;

/**
 * Opens the door for Kafka's clients: the Kafka protocol in front of the same leaders and
 * coordinator as the gRPC API.
 */
export async function startKafkaDoor(options: KafkaDoorOptions): Promise<KafkaDoor> {
  const { listen, clock, logger, view } = options;
  const { settings } = listen;
  const limitedLogger = new LimitedLogger({ logger, clock });
  const metrics = new KafkaMetrics(options.metrics);
  const failures = new KafkaFailures(limitedLogger, (api, code) => metrics.failed(api, code));
  const services: KafkaServices = {
    topics: options.topics,
    view,
    router: options.router,
    groups: options.groups,
    producerIds: options.producerIds,
    brokers: brokersOf(options),
    failures,
    changes: new TopicChanges(options),
    fetchSessions: new FetchSessions({ random: options.random, maxPartitions: MAX_SESSION_PARTITIONS }),
    clock,
    random: options.random,
    metrics: options.gatewayMetrics,
    produceBudget: new ByteBudget(settings.maxProduceBytes),
    readBuffers: listen.readBuffers ?? new ReadBuffers(),
    fetchBudget: new FetchBudget(settings.maxFetchBytes),
    topicDefaults: options.topicDefaults,
    groupDefaults: options.groupDefaults,
    limits: { maxFetchBytes: MAX_FETCH_BYTES, maxWaitMs: MAX_WAIT_MS },
    cluster: {
      autoCreateTopics: listen.autoCreateTopics,
      numPartitions: listen.numPartitions,
      defaultReplicationFactor: listen.defaultReplicationFactor,
      maxRequestBytes: settings.maxRequestBytes,
      maxConnections: settings.maxConnections,
      idleTimeoutMs: settings.idleTimeoutMs,
    },
  };
  const memory = new RequestMemory(settings.maxTotalRequestBytes);
  metrics.addGauges({
    requestBytes: () => memory.heldBytes,
    produceBytes: () => services.produceBudget.takenBytes,
    fetchBytes: () => services.fetchBudget.takenBytes,
    sessionPartitions: () => services.fetchSessions.partitionCount,
  });
  const server = new KafkaServer({
    network: networkOf(options, limitedLogger, metrics),
    host: listen.host,
    port: settings.port,
    handlers: kafkaHandlers(services),
    limits: settings,
    memory,
    maxConnections: settings.maxConnections,
    clock,
    failures,
    limitedLogger,
    metrics,
    tracer: options.tracer,
  });
  await listenOn(server, listen);
  warnOfLocalAddress(options);
  return {
    port: server.port,
    stop: async (graceMs) => {
      await server.close(graceMs);
      limitedLogger.close();
    },
  };
}

async function listenOn(server: KafkaServer, { settings }: KafkaListenOptions): Promise<void> {
  try {
    await server.listen();
  } catch (thrown) {
    if (!(thrown instanceof OttlaError)) throw thrown;
    throw new OttlaError(thrown.code, `${thrown.message}: set --kafka-port`, {
      cause: thrown,
      metadata: { field: "kafka.port", value: String(settings.port) },
    });
  }
}

/** A client's address, and the one it has reached, come from the proxy where there is one. */
function networkOf(
  { listen, clock }: KafkaDoorOptions,
  limitedLogger: LimitedLogger,
  metrics: KafkaMetrics,
): Network {
  const { network, settings } = listen;
  if (settings.proxyProtocol === "off") return network;
  return behindProxy({
    network,
    clock,
    maxPending: settings.maxConnections,
    timeoutMs: PROXY_HEADER_TIMEOUT_MS,
    onRefused: (peer, { message }) => {
      metrics.closed("proxy_protocol");
      limitedLogger.warn("kafka-proxy-protocol", { peer, reason: message }, "closed a Kafka connection");
    },
  });
}

function brokersOf({ listen, view, nodeId, zone }: KafkaDoorOptions): VirtualBrokers {
  const { advertisedAddress, mode } = listen.settings;
  const advertised = advertisedAddress === undefined ? undefined : parseHostAndPort(advertisedAddress);
  if (mode === "shared") return new SharedBroker(advertised);
  return new GatewayBrokers({ view, nodeId, zone, advertised });
}

/**
 * A client that comes through a proxy or a Service would be sent past it: somebody should
 * know before it happens.
 */
function warnOfLocalAddress({ listen, logger }: KafkaDoorOptions): void {
  const { host, settings } = listen;
  const isLoopback = host === "localhost" || host === "::1" || host.startsWith("127.");
  const isKnown = settings.advertisedAddress !== undefined || settings.proxyProtocol !== "off";
  if (isLoopback || isKnown) return;
  logger.warn(
    { host },
    "kafka.advertised-address is not set: Kafka clients are told the address of this machine that they have reached",
  );
}
