import { OttlaError } from "@ottla/errors";
import {
  type FeatureLevelState,
  featureLevelStateCodec,
  formatLevels,
  includesLevel,
  type LevelRange,
  levelRangeOf,
  type NodeRegistration,
  nodeRegistrationCodec,
  type Revision,
  requireSupportedLevel,
} from "@ottla/metadata";
import { type Term, writeAndSee } from "./term.ts";

export interface NodeLevels {
  readonly role: string;
  readonly nodeId: number;
  readonly version: string;
  /** Undefined for a storage node that is not registered. */
  readonly levels: LevelRange | undefined;
}

export interface LevelChange {
  readonly revision: Revision;
  readonly formerLevel: number;
  readonly targetLevel: number;
  readonly nodes: readonly NodeLevels[];
  /** Why the level cannot be reached; of a dry run only. */
  readonly refusal: string | undefined;
}

/**
 * Gives a new cluster its feature level. Throws UNSUPPORTED_VERSION where the cluster has one at which this
 * program cannot work.
 */
export async function ensureFeatureLevel(term: Term): Promise<void> {
  const { view, levels, logger } = term;
  const { initialFeatureLevel: level = levels.max } = term.defaults;
  requireSupportedLevel(view.featureLevel, levels);
  if (view.featureLevel !== undefined) return;
  requireSupportedLevel(level, levels);
  await writeLevel(term, { level });
  logger.info({ featureLevel: level }, "the cluster is new and begins at this feature level");
}

/**
 * Raises the cluster's feature level where every node that is registered, standbys too, can work at it. The
 * registrations are read from the store: the view may lack one that has just come. One that comes after that
 * is refused by its own program, and by everybody's view.
 */
export async function raiseFeatureLevel(
  term: Term,
  request: { readonly level: number; readonly dryRun: boolean },
): Promise<LevelChange> {
  const { view, levels, logger } = term;
  const targetLevel = request.level === 0 ? levels.max : request.level;
  const formerLevel = view.featureLevel ?? levels.min;
  const nodes = await nodeLevels(term);
  const refusal = refusalOf(formerLevel, targetLevel, levels, nodes);
  const change = { revision: view.revision, formerLevel, targetLevel, nodes, refusal };
  if (request.dryRun) return change;
  if (refusal !== undefined) {
    throw new OttlaError("FEATURE_UPDATE_FAILED", refusal, { metadata: { field: "level" } });
  }
  if (targetLevel === formerLevel) return change;
  const revision = await writeLevel(term, { level: targetLevel });
  logger.info({ featureLevel: targetLevel, formerLevel }, "raised the cluster's feature level");
  return { ...change, revision };
}

function writeLevel(term: Term, state: FeatureLevelState): Promise<Revision> {
  const key = term.view.keys.featureLevel;
  return writeAndSee(term, {
    compare: [{ key, modRevision: term.view.featureLevelRevision }],
    success: [{ kind: "put", key, value: featureLevelStateCodec.encode(state) }],
  });
}

/** All nodes that are registered, and the storage nodes that are known and are not. */
async function nodeLevels({ store, view }: Term): Promise<NodeLevels[]> {
  const { entries } = await store.range(view.keys.nodesPrefix);
  const registered = entries.map(
    ({ key, value }): NodeRegistration => nodeRegistrationCodec.parse(value, key),
  );
  const isThere = (id: number): boolean =>
    registered.some(({ role, nodeId }) => role === "partition-storage" && nodeId === id);
  const away = view.storageNodeIds().filter((nodeId) => !isThere(nodeId));
  return [
    ...registered.map((node) => ({
      role: node.role,
      nodeId: node.nodeId,
      version: node.version,
      levels: levelRangeOf(node),
    })),
    ...away.map((nodeId) => ({ role: "partition-storage", nodeId, version: "", levels: undefined })),
  ];
}

function refusalOf(
  formerLevel: number,
  targetLevel: number,
  supported: LevelRange,
  nodes: readonly NodeLevels[],
): string | undefined {
  if (targetLevel < formerLevel) {
    return (
      `level ${targetLevel} is below the cluster's feature level ${formerLevel}, which is never lowered: ` +
      "what was written since cannot be read by older versions"
    );
  }
  if (!includesLevel(supported, targetLevel)) {
    return `level ${targetLevel} is not known to the coordinator, which supports ${formatLevels(supported)}`;
  }
  const unable = nodes.filter(({ levels }) => levels !== undefined && !includesLevel(levels, targetLevel));
  if (unable.length === 0) return undefined;
  const names = unable.map(({ role, nodeId, levels }) => {
    const what = levels === undefined ? "" : `: ${formatLevels(levels)}`;
    return `${role} ${nodeId}${what}`;
  });
  return `feature level ${targetLevel} is not supported by all nodes; upgrade first: ${names.join("; ")}`;
}
