import { toOttlaError } from "@ottla/errors";
import {
  type CallContext,
  type ClusterIdentity,
  GrpcServer,
  requireClusterSecret,
  rpcAttributes,
  type ServiceRegistry,
} from "@ottla/rpc";
import {
  type Clock,
  LimitedLogger,
  type Logger,
  type MetricsRegistry,
  type Readiness,
  type Settings,
  type Span,
  type Tracer,
} from "@ottla/runtime";

export interface InternalDoorOptions {
  readonly settings: Settings;
  readonly identity: ClusterIdentity;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly readiness: Readiness;
  readonly tracer?: Tracer | undefined;
}

/**
 * The listener for the cluster's other nodes. Nothing public is served here, nothing internal elsewhere, and
 * every call must prove the cluster's secret.
 */
export class InternalDoor {
  readonly #options: InternalDoorOptions;
  readonly #server: GrpcServer;
  readonly #require: (context: CallContext) => void;
  readonly #refusals: LimitedLogger;
  #port = -1;

  constructor(options: InternalDoorOptions) {
    const { settings, identity, clock, logger, metrics, readiness } = options;
    this.#options = options;
    this.#server = new GrpcServer({
      registries: [],
      clock,
      logger,
      metrics,
      host: this.#host,
      port: settings.internal.port,
      portFlag: "--internal-port",
      maxMessageBytes: internalMessageBytes(settings),
      isReady: async () => (await readiness.report()).ready,
      authorize: (context) => this.#authorize(context),
      startSpan: options.tracer && ((context) => this.#startSpan(context)),
    });
    this.#require = requireClusterSecret(identity);
    this.#refusals = new LimitedLogger({ logger, clock });
  }

  async start(): Promise<void> {
    this.#port = await this.#server.start();
  }

  get port(): number {
    return this.#port;
  }

  /** Where other nodes reach this one. */
  get address(): string {
    const host = this.#host;
    const { advertisedAddress } = this.#options.settings.internal;
    return advertisedAddress ?? `${host.includes(":") ? `[${host}]` : host}:${this.#port}`;
  }

  add(registry: ServiceRegistry): void {
    this.#server.add(registry);
  }

  async stop(): Promise<void> {
    this.#refusals.close();
    await this.#server.stop(this.#options.settings.shutdown.timeoutMs / 4);
  }

  /** The other side may be a node that was set up wrongly, whose own log says less. */
  #authorize(context: CallContext): void {
    try {
      this.#require(context);
    } catch (thrown) {
      const { code, message } = toOttlaError(thrown);
      this.#refusals.warn(code, { peer: context.peer, method: context.method }, `refused a call: ${message}`);
      throw thrown;
    }
  }

  /** Traces begin at the public doors: here they only go on. */
  #startSpan({ method, metadata }: CallContext): Span | undefined {
    const traceparent = metadata.get("traceparent");
    if (traceparent === undefined) return undefined;
    return this.#options.tracer?.serve(method, traceparent, rpcAttributes(method));
  }

  get #host(): string {
    const { internal, listen } = this.#options.settings;
    return internal.listen ?? listen;
  }
}

const ENVELOPE_BYTES = 16 * 1024 * 1024;

/** What comes in at a public door fits through here, with what lies around it. */
export function internalMessageBytes({ grpc, kafka }: Settings): number {
  return Math.max(grpc.maxMessageBytes, kafka.maxRequestBytes) + ENVELOPE_BYTES;
}
