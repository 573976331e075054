import { OttlaError } from "@ottla/errors";
import { requireFeature } from "@ottla/metadata";
import type {
  CordonNodeRequest,
  DrainNodeRequest,
  RecoverClusterRequest,
  RecoveryPlan,
  ResumeNodeRequest,
} from "@ottla/proto/ottla/v1/admin";
import type { CallContext } from "@ottla/rpc";
import { checkInteger } from "../checks.ts";
import { shown, type TopicChangeOptions } from "./topic-changes.ts";

const MAX_NODE_ID = 1_000_000;

/** Logs may have to be opened and scanned first, and thousands of partitions written. */
const RECOVERY_TIMEOUT_MS = 300_000;

/** Begins to empty a storage node; asking again does no harm, and tells how far it is. */
export async function drainNode(
  options: TopicChangeOptions,
  request: DrainNodeRequest,
  context: CallContext,
): Promise<{ replicaCount: number }> {
  const nodeId = await setDrain(options, request.nodeId, { drain: true, cordon: false }, context);
  let replicaCount = 0;
  for (const { replicas } of options.view.partitions()) if (replicas.includes(nodeId)) replicaCount += 1;
  return { replicaCount };
}

export async function resumeNode(
  options: TopicChangeOptions,
  request: ResumeNodeRequest,
  context: CallContext,
): Promise<object> {
  await setDrain(options, request.nodeId, { drain: false, cordon: false }, context);
  return {};
}

/** Asked only at a level at which each coordinator knows the word: an older one would do the opposite. */
export async function cordonNode(
  options: TopicChangeOptions,
  request: CordonNodeRequest,
  context: CallContext,
): Promise<object> {
  requireFeature(options.view.featureLevel, "cordonedNodes", "a cordoned storage node");
  await setDrain(options, request.nodeId, { drain: false, cordon: true }, context);
  return {};
}

export async function setBalancing(
  options: TopicChangeOptions,
  paused: boolean,
  context: CallContext,
): Promise<object> {
  const changed = await options.controller.call((client) => client.alterBalancing({ paused }), {
    isRepeatable: true,
  });
  await shown(options, changed.revision, context);
  return {};
}

/** Recovers the cluster after a backup of its metadata was restored, or says what that would do. */
export async function recoverCluster(
  { controller }: TopicChangeOptions,
  { execute, withoutNodes }: RecoverClusterRequest,
  { signal }: CallContext,
): Promise<{ plan: RecoveryPlan | undefined }> {
  for (const nodeId of withoutNodes) checkInteger("without_nodes", nodeId, 0, MAX_NODE_ID);
  const { plan } = await controller.call((client) =>
    client.recover({ execute, withoutNodes }, { timeoutMs: RECOVERY_TIMEOUT_MS, signal }),
  );
  return { plan };
}

async function setDrain(
  options: TopicChangeOptions,
  id: number,
  wanted: { readonly drain: boolean; readonly cordon: boolean },
  context: CallContext,
): Promise<number> {
  const { view, topics, controller } = options;
  const nodeId = checkInteger("node_id", id, 0, MAX_NODE_ID);
  const isKnown = (): boolean =>
    (view.storageNode(nodeId) ?? view.node("partition-storage", nodeId)) !== undefined;
  if (!isKnown()) await topics.refresh();
  if (!isKnown()) {
    const known = view.nodes("partition-storage").map((node) => node.nodeId);
    throw new OttlaError(
      "INVALID_REQUEST",
      `node_id: there is no storage node ${nodeId}; there are ${known.join(", ")}`,
      { metadata: { field: "node_id" } },
    );
  }
  const changed = await controller.call((client) => client.drainNode({ nodeId, ...wanted }), {
    isRepeatable: true,
  });
  await shown(options, changed.revision, context);
  return nodeId;
}
