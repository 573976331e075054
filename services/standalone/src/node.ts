import { OttlaError } from "@ottla/errors";
import { type HttpServer, Lifecycle, Readiness, type Settings, startHttpServer } from "@ottla/runtime";
import { openCluster } from "./cluster.ts";
import { LocalConnections } from "./local-connections.ts";
import {
  type NodeOptions,
  startCoordinatorPart,
  startGatewayPart,
  startGroupCoordinatorPart,
  startGrpcPart,
  startStoragePart,
  type Wiring,
} from "./parts.ts";

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

/** Parts stop in the reverse order of their start: first no new calls, last the lock and the HTTP door. */
async function start(options: NodeOptions, lifecycle: Lifecycle): Promise<RunningNode> {
  const { settings, clock, logger } = options;
  refuseWhatNeedsEtcd(settings);
  const readiness = new Readiness({ clock });
  readiness.add("shutdown", () => (lifecycle.stopping ? "the node is stopping" : undefined));
  // The HTTP door opens first; the checks of the parts are added as they start.
  readiness.add("start", () => "the node is starting");
  const http = await startHttp(options, readiness);
  lifecycle.add("http", () => http.close());

  const cluster = await openCluster(options);
  lifecycle.add("metadata", () => cluster.close());
  const connections = new LocalConnections({ clock, logger });
  const wiring: Wiring = { ...options, lifecycle, readiness, cluster, connections };
  await startCoordinatorPart(wiring);
  await startStoragePart(wiring);
  await startGroupCoordinatorPart(wiring);
  const gateway = await startGatewayPart(wiring);
  const grpcPort = await startGrpcPart(wiring, gateway);
  readiness.remove("start");

  return {
    grpcPort,
    kafkaPort: gateway.kafkaPort,
    httpPort: http.port,
    clusterId: cluster.clusterId,
    lifecycle,
    readiness,
    untilReady: async () => {
      while (!lifecycle.stopping && !(await readiness.report()).ready) await clock.sleep(READY_CHECK_MS);
    },
  };
}

function startHttp(options: NodeOptions, readiness: Readiness): Promise<HttpServer> {
  const { settings, clock, metrics, logger } = options;
  const { port, maxConnections } = settings.http;
  return startHttpServer({ host: settings.listen, port, maxConnections, clock, readiness, metrics, logger });
}

/** Until nodes can find one another, one process is the whole cluster. */
function refuseWhatNeedsEtcd(settings: Settings): void {
  const targets = new Set(settings.target);
  if (targets.size >= 4) return;
  throw new OttlaError(
    "INVALID_CONFIG",
    `target ${settings.target.join(",")}: roles in separate processes need etcd, which this version does not ` +
      "support yet; use --target=all",
    { metadata: { field: "target", limit: "all" } },
  );
}
