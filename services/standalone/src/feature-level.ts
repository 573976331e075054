import { toOttlaError } from "@ottla/errors";
import { allowsFeature, type ClusterView, levelProblem, SUPPORTED_LEVELS } from "@ottla/metadata";
import { Gauge, type Logger, type MetricsRegistry, type Readiness } from "@ottla/runtime";

export interface FeatureLevelOptions {
  readonly view: ClusterView;
  readonly readiness: Readiness;
  readonly metrics: MetricsRegistry;
  readonly logger: Logger;
}

/**
 * Shows the cluster's feature level. A node whose program cannot work at it is refused at its start; should
 * the level change while it runs, it is not ready from then on, and all others take it for not there.
 */
export function watchFeatureLevel({ view, readiness, metrics, logger }: FeatureLevelOptions): void {
  const problem = (): string | undefined => levelProblem(view.featureLevel);
  const registers = [metrics];
  const present = new Gauge({
    name: "ottla_cluster_feature_level_state",
    help: "What all nodes of the cluster may write and say to one another; 0: this node does not know yet",
    registers,
  });
  const supported = new Gauge({
    name: "ottla_supported_feature_levels",
    help: "The lowest and the highest feature level at which this program can work",
    labelNames: ["bound"],
    registers,
  });
  supported.labels("min").set(SUPPORTED_LEVELS.min);
  supported.labels("max").set(SUPPORTED_LEVELS.max);
  present.set(view.featureLevel ?? 0);
  readiness.add("feature-level", problem);
  view.onChange(({ featureLevelChanged }) => {
    if (!featureLevelChanged) return;
    const { featureLevel = 0 } = view;
    present.set(featureLevel);
    const reason = problem();
    if (reason === undefined) logger.info({ featureLevel }, "the cluster is at this feature level");
    else logger.error({ featureLevel }, reason);
  });
}

/** A data directory, as far as its feature level is concerned. */
export interface MarkedDirectory {
  markFeatureLevel(level: number): Promise<void>;
}

/**
 * Marks a data directory with the cluster's feature level, now and whenever it is raised: the directory may
 * outlive the metadata, and then no one else would tell an older program that it cannot read it.
 */
export async function keepMarked(
  directory: MarkedDirectory,
  view: ClusterView,
  logger: Logger,
): Promise<void> {
  const mark = async (): Promise<void> => {
    const { featureLevel } = view;
    if (featureLevel === undefined || !allowsFeature(featureLevel, "markedDirectories")) return;
    await directory.markFeatureLevel(featureLevel);
  };
  await mark();
  view.onChange(({ featureLevelChanged }) => {
    if (!featureLevelChanged) return;
    mark().catch((thrown: unknown) => {
      const { featureLevel } = view;
      const err = toOttlaError(thrown);
      logger.warn(
        { err, featureLevel },
        "the data directory is not marked with the feature level before the next start",
      );
    });
  });
}
