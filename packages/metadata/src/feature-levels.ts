import { OttlaError } from "@ottla/errors";

/** What a cluster may write and say from a level on. */
export interface FeatureLevel {
  readonly level: number;
  /** The version of Ottla that knew it first. */
  readonly since: string;
  /** In words, for those who decide about raising it. */
  readonly allows: string;
}

/**
 * The closed list of feature levels, the lowest first. A program reads all that the levels of its range
 * wrote, and writes only what the cluster's level allows, so that a program that knows no more than that
 * level can take its place again. What is written in a new form, or said to a node that might not understand
 * it, needs a level here and asks `ClusterView.featureLevel` first.
 */
export const FEATURE_LEVELS: readonly FeatureLevel[] = [
  { level: 1, since: "0.1.0", allows: "the formats and calls of the first version" },
  {
    level: 2,
    since: "0.1.0",
    allows:
      "cordoned storage nodes (ottla cluster cordon), and data directories that say at which level they were " +
      "written, so that a program that cannot read them refuses them also where the metadata is lost",
  },
];

/** What needs a level: the one that allows it first. */
const FEATURES = {
  /** `drain` of a storage node's record may be "cordoned", and `DrainNode` may ask for it. */
  cordonedNodes: 2,
  /** `meta.properties` of version 2. */
  markedDirectories: 2,
} as const;

export type Feature = keyof typeof FEATURES;

export function allowsFeature(level: number | undefined, feature: Feature): boolean {
  return level !== undefined && level >= FEATURES[feature];
}

/** Throws UNSUPPORTED_VERSION where the cluster's level does not allow it yet. */
export function requireFeature(level: number | undefined, feature: Feature, what: string): void {
  if (allowsFeature(level, feature)) return;
  throw new OttlaError(
    "UNSUPPORTED_VERSION",
    `${what} needs feature level ${FEATURES[feature]}, the cluster is at ${level ?? "none yet"}: raise it with ` +
      "ottla cluster upgrade when all nodes run a version that supports it",
    { metadata: { featureLevel: String(FEATURES[feature]) } },
  );
}

export interface LevelRange {
  readonly min: number;
  readonly max: number;
}

/** What a program that says nothing of levels can work at: those before there was a second one. */
const UNSAID: LevelRange = { min: 1, max: 1 };

/** The levels at which this program can work. */
export const SUPPORTED_LEVELS: LevelRange = {
  min: FEATURE_LEVELS[0]?.level ?? 1,
  max: FEATURE_LEVELS.at(-1)?.level ?? 1,
};

export function includesLevel({ min, max }: LevelRange, level: number): boolean {
  return level >= min && level <= max;
}

/** As a node has registered it. */
export function levelRangeOf(node: {
  readonly minFeatureLevel?: number | undefined;
  readonly maxFeatureLevel?: number | undefined;
}): LevelRange {
  const { minFeatureLevel: min = UNSAID.min, maxFeatureLevel: max = UNSAID.max } = node;
  return { min, max };
}

export function formatLevels({ min, max }: LevelRange): string {
  return min === max ? `feature level ${min}` : `feature levels ${min} to ${max}`;
}

/** Why a program of these levels cannot work in a cluster of that level; undefined if it can. */
export function levelProblem(
  level: number | undefined,
  range: LevelRange = SUPPORTED_LEVELS,
): string | undefined {
  if (level === undefined || includesLevel(range, level)) return undefined;
  const known = FEATURE_LEVELS.find((row) => row.level === level);
  const since = known === undefined ? "" : `, which is known since version ${known.since}`;
  const remedy = level > range.max ? "use a newer version" : "use an older version, or one in between";
  const supported = `this program supports ${formatLevels(range)}`;
  return `the cluster is at feature level ${level}${since}; ${supported}: ${remedy}`;
}

/** Throws UNSUPPORTED_VERSION where this program cannot work in a cluster of that level. */
export function requireSupportedLevel(level: number | undefined, range?: LevelRange): void {
  const problem = levelProblem(level, range);
  if (problem === undefined) return;
  throw new OttlaError("UNSUPPORTED_VERSION", problem, { metadata: { featureLevel: String(level) } });
}
