import { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import { AUTO_NODE_ID, type Random, type Settings } from "@ottla/runtime";

/** Below are the ids that people give. */
const FIRST_FREE_ID = 1_000;
const ID_LIMIT = 1_000_000;

/**
 * The settings with a node id in place of `auto` where the host's name tells it: the names of a StatefulSet's
 * pods end in an ordinal, and a node that stores must have the same id at every start. Throws INVALID_CONFIG
 * where the name has none.
 */
export function withNodeIdOfHost(settings: Settings, hostName: string): Settings {
  if (settings.nodeId !== AUTO_NODE_ID || !settings.target.includes("partition-storage")) return settings;
  const ordinal = /(?:^|[^0-9])(0|[1-9][0-9]{0,5})$/.exec(hostName)?.[1];
  if (ordinal !== undefined) return { ...settings, nodeId: Number(ordinal) };
  throw new OttlaError(
    "INVALID_CONFIG",
    `node-id is auto, and the host's name "${hostName}" does not end in a number: a node that stores needs the ` +
      "same id at every start, set --node-id",
    { metadata: { field: "node-id", limit: "a host's name that ends in a number" } },
  );
}

/** The settings with a node id that nobody in the cluster has, in place of `auto`. */
export function withFreeNodeId(settings: Settings, view: ClusterView, random: Random): Settings {
  if (settings.nodeId !== AUTO_NODE_ID) return settings;
  const isTaken = (nodeId: number): boolean =>
    settings.target.some((role) => view.node(role, nodeId) !== undefined);
  for (;;) {
    const nodeId = FIRST_FREE_ID + random.integer(ID_LIMIT - FIRST_FREE_ID);
    if (!isTaken(nodeId)) return { ...settings, nodeId };
  }
}
