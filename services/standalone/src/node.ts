import { hostname } from "node:os";
import { OttlaError } from "@ottla/errors";
import { NODE_ROLES } from "@ottla/metadata";
import {
  type HttpServer,
  Lifecycle,
  ReadBuffers,
  Readiness,
  type Settings,
  startHttpServer,
  startTracing,
  type Tracer,
} from "@ottla/runtime";
import { addPart } from "./add-part.ts";
import { checkTopicDefaults } from "./check-topic-defaults.ts";
import { type OpenCluster, openCluster } from "./cluster.ts";
import { Connections } from "./connections.ts";
import { watchFeatureLevel } from "./feature-level.ts";
import { HeldIds } from "./held-ids.ts";
import type { InternalDoor } from "./internal-door.ts";
import { withFreeNodeId } from "./node-id.ts";
import {
  type NodeOptions,
  type OpenDoors,
  startCoordinatorPart,
  startGatewayPart,
  startGroupCoordinatorPart,
  startStoragePart,
  type Wiring,
} from "./parts.ts";
import { PreStop } from "./prestop.ts";
import { watchRecovery } from "./watch-recovery.ts";

export interface RunningNode {
  /** -1 where no gateway runs in this process. */
  readonly grpcPort: number;
  readonly kafkaPort: number;
  readonly httpPort: number;
  /** Where the cluster's other nodes come in; -1 where there is no such door. */
  readonly internalPort: number;
  readonly clusterId: string;
  readonly lifecycle: Lifecycle;
  readonly readiness: Readiness;
  /** Resolves when the node is ready to serve. */
  untilReady(): Promise<void>;
}

const READY_CHECK_MS = 5;
const NO_DOORS: OpenDoors = { grpcPort: -1, kafkaPort: -1 };

/**
 * Starts the services of this process. What has started is stopped again when a later
 * part fails. Rejects with CANCELLED when the lifecycle was stopped meanwhile.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { clock, logger, settings } = options;
  const lifecycle = options.lifecycle ?? new Lifecycle({ clock, logger });
  try {
    return await start(options, lifecycle);
  } catch (thrown) {
    const isStopped = lifecycle.stopping;
    await lifecycle.stop(settings.shutdown.timeoutMs);
    if (!isStopped) throw thrown;
    throw new OttlaError("CANCELLED", "the node was told to stop while it started", { cause: thrown });
  }
}

/**
 * Parts stop in the reverse order of their start: first no new calls from clients, then the services, each
 * answering who waits, then the door for other nodes, last the locks, the metadata and the HTTP door.
 */
async function start(given: NodeOptions, lifecycle: Lifecycle): Promise<RunningNode> {
  const { clock } = given;
  refuseWhatNeedsEtcd(given.settings);
  checkTopicDefaults(given.settings);
  const readiness = new Readiness({ clock });
  readiness.add("shutdown", () => (lifecycle.stopping ? "the node is stopping" : undefined));
  // The HTTP door opens first; the checks of the parts are added as they start.
  let starting = "the node is starting";
  readiness.add("start", () => starting);
  const preStop = new PreStop();
  const http = await startHttp(given, readiness, preStop);
  await addPart(lifecycle, "http", () => http.close());
  const tracer = await startTracer(given, lifecycle);

  const inCluster = given.settings.etcd.endpoints.length > 0;
  if (inCluster) starting = "the node waits for etcd";
  const cluster = await open({ ...given, lifecycle }, inCluster);
  watchFeatureLevel({ ...given, view: cluster.view, readiness });
  const settings = withFreeNodeId(given.settings, cluster.view, given.random);
  const options = { ...given, settings, tracer };
  starting = "the node is starting";
  const door = await startInternalDoor(options, lifecycle, readiness, cluster);
  const { view, identity } = cluster;
  const serve = door && ((registry: Parameters<InternalDoor["add"]>[0]) => door.add(registry));
  const connections = new Connections({ ...options, view, identity, serve });
  await addPart(lifecycle, "connections", () => connections.close());
  watchRecovery({ ...options, view, readiness });
  const address = door?.address ?? IN_PROCESS;
  const heldIds = new HeldIds();
  readiness.add("node-id", () => heldIds.notReady());
  const wiring: Wiring = {
    ...options,
    lifecycle,
    readiness,
    cluster,
    connections,
    heldIds,
    address,
    readBuffers: new ReadBuffers(),
    preStop,
  };
  const targets = new Set(settings.target);
  if (targets.has("coordinator")) await startCoordinatorPart(wiring);
  if (targets.has("partition-storage")) await startStoragePart(wiring);
  if (targets.has("group-coordinator")) await startGroupCoordinatorPart(wiring);
  const doors = targets.has("gateway") ? await startGatewayPart(wiring) : NO_DOORS;
  readiness.remove("start");

  return {
    ...doors,
    httpPort: http.port,
    internalPort: door?.port ?? -1,
    clusterId: cluster.clusterId,
    lifecycle,
    readiness,
    untilReady: async () => {
      while (!lifecycle.stopping && !(await readiness.report()).ready) await clock.sleep(READY_CHECK_MS);
    },
  };
}

/** How services of a process that is alone name their address. */
const IN_PROCESS = "in-process";

async function open(
  options: NodeOptions & { readonly lifecycle: Lifecycle },
  inCluster: boolean,
): Promise<OpenCluster> {
  if (!inCluster) return openCluster(options);
  // etcd's client and gRPC take a moment to load, which a process that is alone does without.
  const { joinCluster } = await import("./etcd-cluster.ts");
  return joinCluster(options);
}

/** A node that is a gateway only has nothing to say to other nodes: it has no such door. */
async function startInternalDoor(
  options: NodeOptions,
  lifecycle: Lifecycle,
  readiness: Readiness,
  { identity }: OpenCluster,
): Promise<InternalDoor | undefined> {
  if (identity === undefined || options.settings.target.every((role) => role === "gateway")) return undefined;
  const { InternalDoor } = await import("./internal-door.ts");
  const door = new InternalDoor({ ...options, readiness, identity });
  await door.start();
  await addPart(lifecycle, "internal-door", () => door.stop());
  return door;
}

/** Spans leave until the last part has stopped. */
async function startTracer(options: NodeOptions, lifecycle: Lifecycle): Promise<Tracer | undefined> {
  const { settings } = options;
  const { endpoint, sampleRatio } = settings.tracing;
  if (endpoint === undefined) return undefined;
  const roles = new Set(settings.target);
  const role = roles.size >= NODE_ROLES.length ? "" : `-${[...roles].join("-")}`;
  const tracer = await startTracing({
    ...options,
    endpoint,
    sampleRatio,
    serviceName: `ottla${role}`,
    instanceId: hostname(),
  });
  await addPart(lifecycle, "tracing", () => tracer.close(settings.shutdown.timeoutMs / 10));
  return tracer;
}

function startHttp(options: NodeOptions, readiness: Readiness, preStop: PreStop): Promise<HttpServer> {
  const { settings, clock, metrics, logger } = options;
  const { port, maxConnections } = settings.http;
  const { listen: host } = settings;
  const routes = [preStop.route];
  return startHttpServer({ host, port, maxConnections, clock, readiness, metrics, logger, routes });
}

/** Nodes find one another in etcd: without it, one process is the whole cluster. */
function refuseWhatNeedsEtcd(settings: Settings): void {
  if (settings.etcd.endpoints.length > 0 || new Set(settings.target).size >= NODE_ROLES.length) return;
  throw new OttlaError(
    "INVALID_CONFIG",
    `target ${settings.target.join(",")}: roles in separate processes find one another in etcd; set ` +
      "--etcd-endpoints, or use --target=all for a cluster of one process",
    { metadata: { field: "target", limit: "all" } },
  );
}
