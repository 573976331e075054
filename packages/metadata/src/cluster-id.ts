import { OttlaError } from "@ottla/errors";
import type { Random } from "@ottla/runtime";
import type { MetadataKeys } from "./keys.ts";
import type { MetadataStore } from "./metadata-store.ts";
import { clusterIdStateCodec } from "./values.ts";

const CLUSTER_ID = /^[A-Za-z0-9_-]{1,64}$/;

export interface ClusterIdOptions {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  readonly random: Random;
  /** The id that the caller's configuration or data directory says it belongs to. */
  readonly expected?: string | undefined;
}

/**
 * The cluster's id, which is written once, by whoever comes first. Throws INVALID_DATA_DIRECTORY when the
 * store belongs to another cluster than the one expected.
 */
export async function ensureClusterId(options: ClusterIdOptions): Promise<string> {
  const { store, keys, random, expected } = options;
  if (expected !== undefined && !CLUSTER_ID.test(expected)) {
    throw new OttlaError(
      "INVALID_CONFIG",
      `cluster id "${expected.slice(0, 80)}" is not allowed: 1 to 64 letters, digits, "_" or "-"`,
      { metadata: { field: "clusterId", limit: "64" } },
    );
  }
  const proposed = expected ?? randomClusterId(random);
  const { succeeded, reads } = await store.transact({
    compare: [{ key: keys.clusterId, createRevision: 0 }],
    success: [
      { kind: "put", key: keys.clusterId, value: clusterIdStateCodec.encode({ clusterId: proposed }) },
    ],
    failure: [{ kind: "get", key: keys.clusterId }],
  });
  const entry = reads[0];
  if (succeeded || entry === undefined) return proposed;
  const { clusterId } = clusterIdStateCodec.parse(entry.value, keys.clusterId);
  if (expected !== undefined && clusterId !== expected) {
    throw new OttlaError(
      "INVALID_DATA_DIRECTORY",
      `the metadata store belongs to cluster ${clusterId}, this node to cluster ${expected}`,
      { metadata: { field: "clusterId" } },
    );
  }
  return clusterId;
}

/** 16 random bytes in URL-safe base64, the form of Kafka's cluster ids. */
function randomClusterId(random: Random): string {
  const id = Buffer.from(random.bytes(16)).toString("base64url");
  // A leading "-" looks like a flag on command lines.
  return id.startsWith("-") ? `0${id.slice(1)}` : id;
}
