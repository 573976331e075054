import type { OttlaError } from "@ottla/errors";
import { StorageService } from "@ottla/proto/ottla/internal/v1/storage";
import { createClient, type RpcClient, type Transport } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { AppendStream } from "./append-stream.ts";
import { FetchStream } from "./fetch-stream.ts";
import { NodeHealth } from "./node-health.ts";

/** What a connection carries. Appends and fetches never share one, so that neither can stall the other. */
export type ConnectionPurpose = "append" | "fetch" | "control";

/** Throws LEADER_NOT_AVAILABLE where the node is not registered. */
export type TransportFor = (nodeId: number, purpose: ConnectionPurpose) => Transport;

export interface StorageNodeOptions {
  readonly nodeId: number;
  readonly clock: Clock;
  readonly transportFor: TransportFor;
  readonly maxWaitingBytes: number;
  readonly maxMessageBytes: number;
}

/** The router's connections to one storage node, opened on first use. */
export class StorageNode {
  readonly appends: AppendStream;
  readonly fetches: FetchStream;
  readonly health: NodeHealth;
  readonly #options: StorageNodeOptions;
  readonly #transports = new Map<ConnectionPurpose, Transport>();
  #control: RpcClient<typeof StorageService> | undefined;

  constructor(options: StorageNodeOptions) {
    this.#options = options;
    const { nodeId, clock, maxWaitingBytes, maxMessageBytes } = options;
    const health = new NodeHealth({ nodeId, clock });
    const onEnded = (hadAnswers: boolean): void => health.streamEnded(hadAnswers);
    this.health = health;
    this.appends = new AppendStream({
      nodeId,
      clock,
      maxWaitingBytes,
      maxMessageBytes,
      onEnded,
      open: () => createClient(StorageService, this.#transport("append")).append(),
    });
    this.fetches = new FetchStream({
      nodeId,
      clock,
      onEnded,
      open: () => createClient(StorageService, this.#transport("fetch")).fetch(),
    });
  }

  /** Throws where the node cannot be asked now. */
  get control(): RpcClient<typeof StorageService> {
    this.health.check();
    this.#control ??= createClient(StorageService, this.#transport("control"));
    return this.#control;
  }

  /** Fails what is under way with `reason` and closes the connections. */
  async close(reason: OttlaError): Promise<void> {
    this.appends.close(reason);
    this.fetches.close(reason);
    await Promise.all([...this.#transports.values()].map((transport) => transport.close()));
  }

  #transport(purpose: ConnectionPurpose): Transport {
    this.health.check();
    const known = this.#transports.get(purpose);
    if (known !== undefined) return known;
    const transport = this.#options.transportFor(this.#options.nodeId, purpose);
    this.#transports.set(purpose, transport);
    return transport;
  }
}
