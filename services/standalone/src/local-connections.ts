import { InProcessTransport, type ServiceRegistry, type Transport } from "@ottla/rpc";
import type { Clock, Logger } from "@ottla/runtime";

/** Connections between services that live in this process. */
export class LocalConnections {
  readonly #options: { readonly clock: Clock; readonly logger: Logger };
  readonly #registries = new Map<string, ServiceRegistry>();

  constructor(options: { readonly clock: Clock; readonly logger: Logger }) {
    this.#options = options;
  }

  serve(role: string, registry: ServiceRegistry): void {
    this.#registries.set(role, registry);
  }

  /** A connection of its own, as a socket would be. */
  to(role: string): Transport {
    const registry = this.#registries.get(role);
    if (registry === undefined) throw new Error(`${role} does not run in this process`);
    return new InProcessTransport({ registry, ...this.#options });
  }
}
