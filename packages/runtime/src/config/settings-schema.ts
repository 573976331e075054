import * as z from "zod";
import {
  bytes,
  choice,
  durationMs,
  optionalText,
  port,
  someOf,
  text,
  wholeNumber,
  wholeNumberOrAuto,
} from "./setting-kinds.ts";
import { AUTO_NODE_ID } from "./settings.ts";
import { cluster, clusterFault, etcd, etcdFault, HOST_AND_PORT, internal } from "./settings-etcd.ts";
import { groups } from "./settings-groups.ts";
import { storage } from "./settings-storage.ts";
import { topics } from "./settings-topics.ts";
import { tracing } from "./settings-tracing.ts";

/**
 * The one source of all settings of `ottla serve`. Flag, environment variable and YAML path follow from the
 * place in this tree (grpc.maxConnections is --grpc-max-connections, OTTLA_GRPC_MAX_CONNECTIONS and
 * grpc.max-connections); help, docs/configuration.md and the `Settings` type are generated from it. To add a
 * setting, add it here and run `sh scripts/node.sh scripts/generate-docs.ts`.
 */

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const DAY_MS = 86_400_000;

const TARGETS = ["gateway", "partition-storage", "coordinator", "group-coordinator"] as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
const LOG_FORMATS = ["auto", "json", "pretty"] as const;

const NODE = "Node";
const GATEWAY_ONLY = { targets: ["gateway"] } as const;

const grpc = z.strictObject({
  port: port({
    default: 50_051,
    documentation: "Port of the gRPC API. 0 takes any free port, which the log names at start.",
  }),
  maxConnections: wholeNumber({
    min: 1,
    max: 100_000,
    default: 1_000,
    documentation: "Connections served at once. Further ones are closed as soon as they are accepted.",
  }),
  maxStreamsPerConnection: wholeNumber({
    min: 1,
    max: 100_000,
    default: 1_000,
    documentation: "Calls open at once on one connection. Further ones wait in the client.",
  }),
  maxMessageBytes: bytes({
    min: 64 * KIB,
    max: GIB,
    default: 64 * MIB,
    documentation:
      "Largest gRPC message received or sent. It must hold a topic's largest batch (max.message.bytes).",
  }),
  maxUnansweredBytesPerStream: bytes({
    min: 64 * KIB,
    max: 4 * GIB,
    default: 32 * MIB,
    ...GATEWAY_ONLY,
    documentation:
      "Bytes of appends that one stream may have in work. Beyond it the server reads no further until " +
      "answers are sent, so a fast producer is slowed and memory stays bounded. A single larger message " +
      "still passes.",
  }),
});

const http = z.strictObject({
  port: port({
    default: 8_080,
    documentation:
      "Port of /healthz, /readyz and /metrics. 0 takes any free port, which the log names at start.",
  }),
  maxConnections: wholeNumber({
    min: 1,
    max: 10_000,
    default: 256,
    documentation: "HTTP connections served at once. Further ones are closed as soon as they are accepted.",
  }),
});

const kafka = z.strictObject({
  port: port({
    default: 9_092,
    ...GATEWAY_ONLY,
    documentation: "Port of the Kafka protocol. 0 takes any free port, which the log names at start.",
  }),
  advertisedAddress: optionalText({
    pattern: HOST_AND_PORT,
    maxLength: 260,
    expected: "host:port",
    defaultDocumentation:
      "localhost for clients on this machine, else the address that the client has reached",
    ...GATEWAY_ONLY,
    documentation:
      "Where Kafka clients are told to connect to (Kafka's advertised.listeners). Set it to the one address " +
      "under which clients reach all gateways; with kafka.mode per-gateway, to this gateway's own.",
  }),
  mode: choice(["shared", "per-gateway"], {
    default: "shared",
    ...GATEWAY_ONLY,
    documentation:
      "Whether Kafka clients see one broker behind one address (shared), or each gateway as a broker with an " +
      "address of its own, over which partitions are spread, those of the zone first that the client asks in " +
      "(per-gateway; needs kafka.advertised-address).",
  }),
  proxyProtocol: choice(["off", "v2"], {
    default: "off",
    ...GATEWAY_ONLY,
    documentation:
      "With v2 each Kafka connection begins with a header of PROXY protocol v2, as load balancers send it; others " +
      "are closed. Clients are then told the address of the load balancer that they have reached, unless " +
      "kafka.advertised-address is set, and the log names the clients instead of the load balancer.",
  }),
  maxConnections: wholeNumber({
    min: 1,
    max: 100_000,
    default: 10_000,
    ...GATEWAY_ONLY,
    documentation: "Kafka connections served at once. Further ones are closed as soon as they are accepted.",
  }),
  maxRequestBytes: bytes({
    min: 64 * KIB,
    max: GIB,
    default: 100 * MIB,
    ...GATEWAY_ONLY,
    documentation:
      "Largest Kafka request taken (Kafka's socket.request.max.bytes); a larger one ends its connection.",
  }),
  idleTimeoutMs: durationMs({
    min: 1_000,
    max: DAY_MS,
    default: 600_000,
    ...GATEWAY_ONLY,
    documentation:
      "A connection on which nothing moves for so long is closed (Kafka's connections.max.idle.ms).",
  }),
  maxUnansweredRequests: wholeNumber({
    min: 1,
    max: 10_000,
    default: 100,
    ...GATEWAY_ONLY,
    documentation: "Requests that one connection may have in work; beyond it the gateway reads no further.",
  }),
  maxUnansweredBytes: bytes({
    min: 64 * KIB,
    max: 4 * GIB,
    default: 32 * MIB,
    ...GATEWAY_ONLY,
    documentation:
      "Bytes of requests that one connection may have in work; beyond it the gateway reads no further. A single " +
      "larger request still passes.",
  }),
  maxTotalRequestBytes: bytes({
    min: MIB,
    max: 64 * GIB,
    default: 256 * MIB,
    ...GATEWAY_ONLY,
    documentation:
      "Bytes of requests from all Kafka connections in work, partly received ones among them. Beyond it the " +
      "gateway reads on only from the client whose request has been part-way for the longest.",
  }),
  maxProduceBytes: bytes({
    min: MIB,
    max: 64 * GIB,
    default: 64 * MIB,
    ...GATEWAY_ONLY,
    documentation: "Bytes of batches from all Kafka connections on their way to storage; further ones wait.",
  }),
  maxFetchBytes: bytes({
    min: MIB,
    max: 64 * GIB,
    default: 256 * MIB,
    ...GATEWAY_ONLY,
    documentation:
      "Bytes of fetched batches that clients have not taken yet, over all Kafka connections. As it fills up, " +
      "fetches are answered with less.",
  }),
});

const log = z.strictObject({
  level: choice(LOG_LEVELS, {
    default: "info",
    documentation:
      "Least important level that is logged. Error: someone must act; warn: someone may have to; info: a " +
      "change of state; debug and trace: the rest.",
  }),
  format: choice(LOG_FORMATS, {
    default: "auto",
    documentation:
      "Form of the log on standard error. json: one object per line; pretty: for people; auto: pretty on a " +
      "terminal, json elsewhere.",
  }),
});

const shutdown = z.strictObject({
  timeoutMs: durationMs({
    min: 0,
    max: 3_600_000,
    default: 30_000,
    documentation:
      "Time for an orderly stop after SIGTERM. What has not stopped by then is named in the log and left " +
      "behind, as in a crash. Kubernetes' terminationGracePeriodSeconds must be longer.",
  }),
});

export const settingsSchema = z
  .strictObject({
    target: someOf(TARGETS, {
      section: NODE,
      documentation: "Roles this process plays. The default plays all of them: a whole cluster of one node.",
    }),
    dataDir: text({
      section: NODE,
      default: "data",
      pattern: /^[^\0]+$/,
      maxLength: 4_096,
      expected: "a path of at most 4096 characters",
      documentation:
        "Directory for everything that is kept. It is created when missing and locked while in use.",
    }),
    listen: text({
      section: NODE,
      default: "127.0.0.1",
      pattern: /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/,
      maxLength: 253,
      expected: "an IP address or a host name, without a port",
      documentation:
        "Address to listen on. Nothing authenticates callers yet, so anything but loopback opens Ottla to " +
        "everyone who can reach the address; 0.0.0.0 and :: listen on all.",
    }),
    clusterId: optionalText({
      section: NODE,
      pattern: /^[A-Za-z0-9_-]+$/,
      maxLength: 64,
      expected: "1 to 64 letters, digits, underscores and dashes",
      defaultDocumentation: "made at the first start and kept in the data directory",
      documentation: "Identity of the cluster. A data directory or a node of another cluster is refused.",
    }),
    nodeId: wholeNumberOrAuto({
      section: NODE,
      min: 0,
      max: 1_000_000,
      default: 1,
      auto: AUTO_NODE_ID,
      documentation:
        "Number of this node, unique in its role and the same at every start. With auto a node that stores takes the " +
        "number at the end of its host's name, as the pods of a StatefulSet have one; any other takes a free one.",
    }),
    zone: text({
      section: NODE,
      default: "",
      pattern: /^[A-Za-z0-9._/-]*$/,
      maxLength: 128,
      expected: "at most 128 letters, digits, dots, underscores, slashes and dashes",
      documentation: "Failure zone of this node (Kafka's broker.rack). Replicas are spread over zones.",
    }),
    readPreference: choice(["leader", "nearest"], {
      section: NODE,
      default: "leader",
      ...GATEWAY_ONLY,
      documentation:
        "Where this gateway reads records: at the partition's leader, or at a replica in the gateway's own zone " +
        "that is in sync (KIP-392). The latter saves traffic between zones, and shows new records a little later.",
    }),
    grpc,
    http,
    kafka,
    log,
    tracing,
    shutdown,
    storage,
    groups,
    cluster,
    internal,
    etcd,
    ...topics,
  })
  .superRefine((settings, context) => {
    if (settings.grpc.port !== 0 && settings.grpc.port === settings.http.port) {
      context.addIssue({ code: "custom", path: ["http", "port"], message: "must differ from grpc.port" });
    }
    const [name, message] = etcdFault(settings.etcd) ?? [];
    if (name !== undefined) context.addIssue({ code: "custom", path: ["etcd", name], message });
    const [path, fault] = clusterFault(settings) ?? [];
    if (path !== undefined) context.addIssue({ code: "custom", path: [...path], message: fault });
    const others = [settings.grpc.port, settings.http.port];
    if (settings.kafka.port !== 0 && others.includes(settings.kafka.port)) {
      const message = "must differ from grpc.port and http.port";
      context.addIssue({ code: "custom", path: ["kafka", "port"], message });
    }
    if (settings.kafka.mode === "per-gateway" && settings.kafka.advertisedAddress === undefined) {
      const message = "must be set where kafka.mode is per-gateway";
      context.addIssue({ code: "custom", path: ["kafka", "advertisedAddress"], message });
    }
  });

export type SettingsValues = z.output<typeof settingsSchema>;
