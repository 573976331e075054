import { OttlaError } from "@ottla/errors";
import type { ClusterView, NodeRole } from "@ottla/metadata";
import {
  type ClusterIdentity,
  clusterMetadata,
  GrpcTransport,
  InProcessTransport,
  type ServiceRegistry,
  type Transport,
} from "@ottla/rpc";
import type { Clock, Logger, Settings } from "@ottla/runtime";
import { internalMessageBytes } from "./internal-door.ts";

const MEBIBYTE = 1024 * 1024;

/** How long calls to a coordinator that is no longer the one may go on. */
const RETIREMENT_MS = 2_000;

/** What a connection to a storage node carries. */
type ConnectionPurpose = "append" | "fetch" | "replicate" | "control";

export interface ConnectionsOptions {
  readonly settings: Settings;
  readonly view: ClusterView;
  /** Undefined where one process is the whole cluster. */
  readonly identity: ClusterIdentity | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Opens the door of this process for a service. */
  readonly serve: ((registry: ServiceRegistry) => void) | undefined;
}

/** Connections between services: within the process where both live in it, else over gRPC. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #registries = new Map<NodeRole, ServiceRegistry>();
  readonly #retired = new Set<Transport>();
  #controller: { readonly address: string; readonly transport: Transport } | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    options.view.onChange(({ controllerChanged }) => {
      if (controllerChanged) this.#retireController();
    });
  }

  /** A service of this process, for the others in it and for other nodes. */
  serve(role: NodeRole, registry: ServiceRegistry): void {
    this.#registries.set(role, registry);
    this.#options.serve?.(registry);
  }

  /** A connection of its own to a storage node; throws LEADER_NOT_AVAILABLE where it is not registered. */
  toStorage(nodeId: number, purpose: ConnectionPurpose): Transport {
    const { view, settings } = this.#options;
    const local = this.#local("partition-storage");
    if (local !== undefined && nodeId === settings.nodeId) return local;
    const address = view.node("partition-storage", nodeId)?.addresses[0];
    if (address === undefined) {
      throw new OttlaError("LEADER_NOT_AVAILABLE", `storage node ${nodeId} is not registered`);
    }
    // Raised where bulk comes down only: Node could hang when both sides raise it and bulk goes both ways.
    const takesBulk = purpose === "fetch" || purpose === "replicate";
    return this.#remote(address, takesBulk ? { windowBytes: 8 * MEBIBYTE } : {});
  }

  /** A connection of its own to a node that is not registered now; of this process, where that is alone. */
  toAddress(address: string, role: NodeRole): Transport {
    const local = this.#options.identity === undefined ? this.#local(role) : undefined;
    return local ?? this.#remote(address, {});
  }

  /** A connection of its own to a group-coordinator; throws COORDINATOR_NOT_AVAILABLE where it is away. */
  toGroupCoordinator(nodeId: number): Transport {
    const { view, settings } = this.#options;
    const local = nodeId === settings.nodeId ? this.#local("group-coordinator") : undefined;
    if (local !== undefined) return local;
    const address = view.node("group-coordinator", nodeId)?.addresses[0];
    if (address === undefined) {
      throw new OttlaError("COORDINATOR_NOT_AVAILABLE", `group-coordinator ${nodeId} is not registered`);
    }
    return this.#remote(address, {});
  }

  /** The connection to the active coordinator; throws NOT_CONTROLLER while there is none. */
  toController(): Transport {
    const { view, settings } = this.#options;
    const elected = view.controller;
    if (elected === undefined) throw new OttlaError("NOT_CONTROLLER", "no coordinator is elected now");
    const { nodeId, address } = elected;
    if (this.#controller?.address === address) return this.#controller.transport;
    const local = nodeId === settings.nodeId ? this.#local("coordinator") : undefined;
    const transport = local ?? this.#remote(address, {});
    this.#controller = { address, transport };
    return transport;
  }

  async close(): Promise<void> {
    this.#retireController();
    await Promise.all([...this.#retired].map((transport) => transport.close()));
    this.#retired.clear();
  }

  /**
   * One that was deposed may still say what became of a call; a frozen one does not, and
   * is not waited for long.
   */
  #retireController(): void {
    const transport = this.#controller?.transport;
    this.#controller = undefined;
    if (transport === undefined) return;
    this.#retired.add(transport);
    const retire = (): void => {
      if (this.#retired.delete(transport)) void transport.close();
    };
    this.#options.clock.setTimer(RETIREMENT_MS, retire, { background: true });
  }

  #local(role: NodeRole): Transport | undefined {
    const { clock, logger } = this.#options;
    const registry = this.#registries.get(role);
    return registry && new InProcessTransport({ registry, clock, logger });
  }

  #remote(address: string, more: { readonly windowBytes?: number }): Transport {
    const { identity, settings, clock } = this.#options;
    if (identity === undefined) throw new Error(`${address} is not in this process, which is alone`);
    // A peer that fell silent is noticed about when the store gives its place to another.
    const { leaseTtlMs } = settings.cluster;
    return new GrpcTransport({
      address,
      clock,
      metadata: clusterMetadata(identity),
      maxMessageBytes: internalMessageBytes(settings),
      keepaliveMs: leaseTtlMs / 3,
      keepaliveTimeoutMs: (leaseTtlMs * 2) / 3,
      connectTimeoutMs: (leaseTtlMs * 2) / 3,
      minReconnectDelayMs: 50,
      maxReconnectDelayMs: 500,
      ...more,
    });
  }
}
