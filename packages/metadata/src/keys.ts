import { OttlaError } from "@ottla/errors";

/** The roles a node can have; one process may have several. */
export const NODE_ROLES = ["gateway", "partition-storage", "coordinator", "group-coordinator"] as const;

export type NodeRole = (typeof NODE_ROLES)[number];

const CLUSTER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The paths of all metadata keys of one cluster. Nothing else in the tree spells a key. */
export class MetadataKeys {
  /** Every key of the cluster begins with this. */
  readonly root: string;
  /** Leased: the elected coordinator. */
  readonly controller: string;
  /** Random, written once: two clusters that share a name by mistake are told apart by it. */
  readonly clusterId: string;
  /** What only those can make who have the secret of the cluster's nodes. */
  readonly secretProof: string;
  /** What all nodes may write and say, for rolling upgrades. */
  readonly featureLevel: string;
  /** The next producer id that was never handed out. */
  readonly producerIds: string;
  /**
   * Written by every transaction of the coordinator: its revision says how far a view must have come to have
   * seen all of them. Reading it is the linearizable read of `ClusterView.refresh`.
   */
  readonly changed: string;
  /** Whether the moves that the coordinator begins by itself are paused. */
  readonly balancing: string;
  readonly nodesPrefix: string;
  readonly storageNodesPrefix: string;
  readonly topicNamesPrefix: string;
  readonly topicsPrefix: string;
  readonly partitionsPrefix: string;
  readonly groupOwnersPrefix: string;
  readonly groupConfigsPrefix: string;
  /** Who has coordinated lately: tells the store's history from another one with the same revisions. */
  readonly terms: string;
  /** Which recovery from a restored backup was the last. */
  readonly recovery: string;
  readonly awaitingPrefix: string;

  /** `cluster` is the name under which a store that serves several clusters keeps this one. */
  constructor(cluster: string) {
    if (!CLUSTER_NAME.test(cluster)) {
      throw new OttlaError(
        "INVALID_CONFIG",
        `cluster name "${cluster.slice(0, 80)}" is not allowed: it must be 1 to 64 letters, digits, ` +
          '".", "_" or "-", the first a letter or digit',
        { metadata: { field: "cluster", limit: "64" } },
      );
    }
    this.root = `/ottla/${cluster}/`;
    this.controller = `${this.root}controller`;
    this.clusterId = `${this.root}cluster-id`;
    this.secretProof = `${this.root}secret-proof`;
    this.featureLevel = `${this.root}feature-level`;
    this.producerIds = `${this.root}producer-ids`;
    this.changed = `${this.root}changed`;
    this.balancing = `${this.root}balancing`;
    this.nodesPrefix = `${this.root}nodes/`;
    this.storageNodesPrefix = `${this.root}storage/`;
    this.topicNamesPrefix = `${this.root}topic-names/`;
    this.topicsPrefix = `${this.root}topics/`;
    this.partitionsPrefix = `${this.root}partitions/`;
    this.groupOwnersPrefix = `${this.root}group-owners/`;
    this.groupConfigsPrefix = `${this.root}group-configs/`;
    this.terms = `${this.root}terms`;
    this.recovery = `${this.root}recovery`;
    this.awaitingPrefix = `${this.root}awaiting-recovery/`;
  }

  /** Leased: where the node is reached; its create revision is the nodeEpoch. */
  node(role: NodeRole, nodeId: number): string {
    return `${this.nodesPrefix}${role}/${nodeId}`;
  }

  /** Not leased: what the coordinator remembers about a storage node. */
  storageNode(nodeId: number): string {
    return `${this.storageNodesPrefix}${nodeId}`;
  }

  /** Holds the topic id and makes names unique. */
  topicName(name: string): string {
    return `${this.topicNamesPrefix}${name}`;
  }

  topic(topicId: string): string {
    return `${this.topicsPrefix}${topicId}`;
  }

  /** All partitions of one topic. */
  partitionsOf(topicId: string): string {
    return `${this.partitionsPrefix}${topicId}/`;
  }

  partition(topicId: string, partition: number): string {
    return `${this.partitionsPrefix}${topicId}/${partition}`;
  }

  groupOwner(partition: number): string {
    return `${this.groupOwnersPrefix}${partition}`;
  }

  /** What was set on a group; its id may hold any characters, slashes too. */
  groupConfig(groupId: string): string {
    return `${this.groupConfigsPrefix}${Buffer.from(groupId).toString("base64url")}`;
  }

  /** Leased: a storage node that does not follow this store, because it has seen a later state of it. */
  awaiting(nodeId: number): string {
    return `${this.awaitingPrefix}${nodeId}`;
  }

  /** What a key is about; undefined for keys of newer versions, which are ignored. */
  parse(key: string): ParsedKey | undefined {
    if (!key.startsWith(this.root)) return undefined;
    const [kind, first, second, ...rest] = key.slice(this.root.length).split("/");
    if (kind === undefined || rest.length > 0) return undefined;
    if (first === undefined) return parseSingleKey(kind);
    if (second === undefined) return parsePairKey(kind, first);
    const number = parseNumber(second);
    if (number === undefined) return undefined;
    if (kind === "partitions") return { kind: "partition", topicId: first, partition: number };
    if (kind === "nodes" && isNodeRole(first)) return { kind: "node", role: first, nodeId: number };
    return undefined;
  }
}

export type ParsedKey =
  | { readonly kind: SingleKind }
  | { readonly kind: "node"; readonly role: NodeRole; readonly nodeId: number }
  | { readonly kind: "storage-node"; readonly nodeId: number }
  | { readonly kind: "topic-name"; readonly name: string }
  | { readonly kind: "topic"; readonly topicId: string }
  | { readonly kind: "partition"; readonly topicId: string; readonly partition: number }
  | { readonly kind: "group-owner"; readonly partition: number }
  | { readonly kind: "group-config"; readonly groupId: string }
  | { readonly kind: "awaiting"; readonly nodeId: number };

type SingleKind =
  | "controller"
  | "cluster-id"
  | "secret-proof"
  | "feature-level"
  | "producer-ids"
  | "changed"
  | "balancing"
  | "recovery"
  | "terms";

function parseSingleKey(kind: string): ParsedKey | undefined {
  switch (kind) {
    case "controller":
    case "cluster-id":
    case "secret-proof":
    case "feature-level":
    case "producer-ids":
    case "changed":
    case "balancing":
    case "recovery":
    case "terms":
      return { kind };
    default:
      return undefined;
  }
}

function parsePairKey(kind: string, name: string): ParsedKey | undefined {
  if (kind === "topics") return { kind: "topic", topicId: name };
  if (kind === "topic-names") return { kind: "topic-name", name };
  if (kind === "group-configs") {
    return { kind: "group-config", groupId: Buffer.from(name, "base64url").toString() };
  }
  const number = parseNumber(name);
  if (number === undefined) return undefined;
  if (kind === "storage") return { kind: "storage-node", nodeId: number };
  if (kind === "awaiting-recovery") return { kind: "awaiting", nodeId: number };
  if (kind === "group-owners") return { kind: "group-owner", partition: number };
  return undefined;
}

function parseNumber(text: string): number | undefined {
  return /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : undefined;
}

export function isNodeRole(text: string): text is NodeRole {
  return (NODE_ROLES as readonly string[]).includes(text);
}
