import { GrpcStatus } from "@ottla/errors";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@ottla/proto/grpc/health/v1/health";
import type { Clock } from "@ottla/runtime";
import type { CallContext, MessageStream, ServiceImplementation } from "./service.ts";
import { ServiceRegistry } from "./service-registry.ts";
import { BareStatus } from "./status.ts";

/** How often watchers learn of a change that only `isReady` knows. */
const WATCH_INTERVAL_MS = 1000;

export interface HealthServiceOptions {
  readonly clock: Clock;
  /** Full names of the services served. */
  readonly services: readonly string[];
  /** Whether the node takes calls; asked at each check. Default: always. */
  readonly isReady?: (() => boolean | Promise<boolean>) | undefined;
}

/** gRPC's health protocol: the whole server under "", and each service by its name. */
export class HealthService {
  readonly #options: HealthServiceOptions;
  readonly #services: ReadonlySet<string>;
  readonly #notServing = new Set<string>();
  readonly #wakeUps = new Set<() => void>();
  #stopped = false;

  constructor(options: HealthServiceOptions) {
    this.#options = options;
    this.#services = new Set(["", ...options.services]);
  }

  /** Marks one service as not serving, or serving again, whatever the node's readiness is. */
  setServing(service: string, serving: boolean): void {
    if (serving) this.#notServing.delete(service);
    else this.#notServing.add(service);
    this.#wakeAll();
  }

  /** NOT_SERVING for everything from now on: the first step of a shutdown. */
  stop(): void {
    this.#stopped = true;
    this.#wakeAll();
  }

  async status(service: string): Promise<Status> {
    if (!this.#services.has(service)) return Status.SERVICE_UNKNOWN;
    if (this.#stopped || this.#notServing.has(service)) return Status.NOT_SERVING;
    const ready = (await this.#options.isReady?.()) ?? true;
    return ready && !this.#stopped ? Status.SERVING : Status.NOT_SERVING;
  }

  get registry(): ServiceRegistry {
    const implementation: ServiceImplementation<typeof Health> = {
      check: async ({ service }) => {
        const status = await this.status(service);
        if (status !== Status.SERVICE_UNKNOWN) return { status };
        throw new BareStatus(GrpcStatus.NOT_FOUND, `the server has no service ${service}`);
      },
      watch: ({ service }, stream, context) => this.#watch(service, stream, context),
    };
    return new ServiceRegistry().add(Health, implementation);
  }

  async #watch(
    service: string,
    stream: MessageStream<{ status: Status }, never>,
    context: CallContext,
  ): Promise<void> {
    let sent: Status | undefined;
    for (;;) {
      const status = await this.status(service);
      if (status !== sent) stream.send({ status });
      sent = status;
      await stream.drained();
      // Looked at after the send: the last thing that a watcher hears of a stopping server is NOT_SERVING.
      if (context.signal.aborted) return;
      await this.#change(context.signal);
    }
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        timer.cancel();
        this.#wakeUps.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = this.#options.clock.setTimer(WATCH_INTERVAL_MS, wake, { background: true });
      this.#wakeUps.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  #wakeAll(): void {
    for (const wake of this.#wakeUps) wake();
  }
}
