import type { MessageInitShape } from "@bufbuild/protobuf";
import { FEATURE_LEVELS } from "@ottla/metadata";
import type { UpgradeClusterRequest, UpgradeClusterResponseSchema } from "@ottla/proto/ottla/v1/admin";
import type { CallContext } from "@ottla/rpc";
import { checkInteger } from "../checks.ts";
import { shown, type TopicChangeOptions } from "./topic-changes.ts";

const MAX_LEVEL = 1_000;

/** Raises the cluster's feature level, or tells what that would do; the coordinator decides. */
export async function upgradeCluster(
  options: TopicChangeOptions,
  request: UpgradeClusterRequest,
  context: CallContext,
): Promise<MessageInitShape<typeof UpgradeClusterResponseSchema>> {
  const level = checkInteger("level", request.level, 0, MAX_LEVEL);
  const { dryRun } = request;
  const answer = await options.controller.call((client) => client.raiseFeatureLevel({ level, dryRun }), {
    isRepeatable: true,
  });
  if (!dryRun) await shown(options, answer.revision, context);
  const { formerLevel, targetLevel, minSupportedLevel, maxSupportedLevel, refusal } = answer;
  return {
    formerLevel,
    level: dryRun ? formerLevel : targetLevel,
    targetLevel,
    minSupportedLevel,
    maxSupportedLevel,
    refusal,
    nodes: answer.nodes.map(({ role, nodeId, version, minLevel, maxLevel }) => ({
      role,
      nodeId,
      version,
      minLevel,
      maxLevel,
    })),
    levels: FEATURE_LEVELS.filter((row) => row.level > formerLevel && row.level <= targetLevel),
  };
}
