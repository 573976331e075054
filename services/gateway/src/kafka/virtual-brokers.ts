import type { ClusterNode, ClusterView } from "@ottla/metadata";
import { murmur2 } from "@ottla/records";
import type { KafkaConnectionState } from "./handler.ts";

/**
 * A broker as Kafka's clients see it. No storage node is one: gateways are, and any of
 * them serves every partition.
 */
export interface VirtualBroker {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Storage nodes have ids up to 1,000,000, and replica lists show those: brokers take theirs from above. */
export const SHARED_BROKER_ID = 1_000_001;
const GATEWAY_BROKER_ID_BASE = 2_000_000;

/** Who the brokers are that metadata answers name, and which of them leads a partition. */
export interface VirtualBrokers {
  /** The id of this gateway. */
  readonly ownId: number;
  all(connection: KafkaConnectionState): readonly VirtualBroker[];
  /** Says which broker's id leads each partition of a topic, where the partition has a leader at all. */
  leaders(topicId: string): (partition: number) => number;
  /** The broker that coordinates groups and takes administration, for this connection. */
  coordinator(connection: KafkaConnectionState): VirtualBroker;
}

/**
 * `shared` mode: all gateways are one broker behind one address. Several ids behind one
 * address would make librdkafka open, and confuse, several connections to the same place.
 */
export class SharedBroker implements VirtualBrokers {
  readonly ownId = SHARED_BROKER_ID;
  readonly #advertised: HostAndPort | undefined;

  constructor(advertised: HostAndPort | undefined) {
    this.#advertised = advertised;
  }

  all(connection: KafkaConnectionState): readonly VirtualBroker[] {
    return [this.coordinator(connection)];
  }

  leaders(): (partition: number) => number {
    return () => SHARED_BROKER_ID;
  }

  coordinator(connection: KafkaConnectionState): VirtualBroker {
    const { host, port } = this.#advertised ?? addressOf(connection);
    return { nodeId: SHARED_BROKER_ID, host, port, rack: null };
  }
}

export interface GatewayBrokersOptions {
  readonly view: ClusterView;
  /** The node id of this gateway. */
  readonly nodeId: number;
  readonly zone: string;
  readonly advertised: HostAndPort | undefined;
}

/**
 * `per-gateway` mode: each gateway is a broker with an address of its own; partitions are
 * spread over them by rendezvous hash.
 */
export class GatewayBrokers implements VirtualBrokers {
  readonly #options: GatewayBrokersOptions;

  constructor(options: GatewayBrokersOptions) {
    this.#options = options;
  }

  get ownId(): number {
    return GATEWAY_BROKER_ID_BASE + this.#options.nodeId;
  }

  all(connection: KafkaConnectionState): readonly VirtualBroker[] {
    const { view, nodeId } = this.#options;
    const others = view
      .nodes("gateway")
      .filter((node) => node.nodeId !== nodeId)
      .map(brokerOf)
      .filter((broker) => broker !== undefined);
    return [this.coordinator(connection), ...others].toSorted((left, right) => left.nodeId - right.nodeId);
  }

  /**
   * The gateway with the highest score leads: when one comes or goes, only its own partitions move. Those of
   * this gateway's zone come first: a client that asks here is in that zone, or has come to it.
   */
  leaders(topicId: string): (partition: number) => number {
    const { view, nodeId, zone } = this.#options;
    const reachable = view
      .nodes("gateway")
      .filter((node) => node.zone === zone && brokerOf(node) !== undefined);
    const nodeIds = new Set([nodeId, ...reachable.map((node) => node.nodeId)]);
    const topicHash = murmur2(Buffer.from(topicId));
    return (partition) => {
      let best = nodeId;
      let bestScore = -1;
      for (const candidate of nodeIds) {
        const score = scoreOf(topicHash, partition, candidate);
        if (score > bestScore || (score === bestScore && candidate < best)) {
          best = candidate;
          bestScore = score;
        }
      }
      return GATEWAY_BROKER_ID_BASE + best;
    };
  }

  coordinator(connection: KafkaConnectionState): VirtualBroker {
    const { advertised, zone } = this.#options;
    const { host, port } = advertised ?? addressOf(connection);
    return { nodeId: this.ownId, host, port, rack: zone === "" ? null : zone };
  }
}

/** Undefined for a gateway without a Kafka door. */
function brokerOf(node: ClusterNode): VirtualBroker | undefined {
  const address = node.kafkaAddress === undefined ? undefined : parseHostAndPort(node.kafkaAddress);
  if (address === undefined) return undefined;
  const rack = node.zone === "" ? null : node.zone;
  return { nodeId: GATEWAY_BROKER_ID_BASE + node.nodeId, ...address, rack };
}

/** "host:port" or "[v6]:port"; undefined when it is neither. */
export function parseHostAndPort(text: string): HostAndPort | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}

/** Without a configured address: the one that the client itself has reached. */
function addressOf({ localAddress, localPort }: KafkaConnectionState): HostAndPort {
  const host = localAddress.startsWith("::ffff:") ? localAddress.slice("::ffff:".length) : localAddress;
  const isLoopback = host === "::1" || host.startsWith("127.");
  return { host: isLoopback ? "localhost" : host, port: localPort };
}

/** A well-mixed number for (topic, partition, gateway), the same in every gateway. */
function scoreOf(topicHash: number, partition: number, nodeId: number): number {
  let mixed = topicHash ^ Math.imul(partition + 1, 0x9e37_79b1) ^ Math.imul(nodeId + 1, 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
