import { OttlaError } from "@ottla/errors";
import {
  ClusterView,
  EmbeddedStore,
  ensureClusterId,
  MetadataKeys,
  type MetadataStore,
  requireSupportedLevel,
  SUPPORTED_LEVELS,
} from "@ottla/metadata";
import { openDataDirectory, type StorageEnd, StoreMemoryFile } from "@ottla/partition-storage";
import type { ClusterIdentity } from "@ottla/rpc";
import {
  type Clock,
  type Disk,
  DiskError,
  directoryProblem,
  type Lifecycle,
  type Logger,
  type MetricsRegistry,
  type Random,
  type Settings,
} from "@ottla/runtime";
import { addPart } from "./add-part.ts";
import { keepMarked } from "./feature-level.ts";

export interface OpenClusterOptions {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** Gets what is opened here, each part as soon as it is open. */
  readonly lifecycle: Lifecycle;
}

/**
 * The cluster as this process is part of it: its metadata, the view of it that all
 * services share, its directory.
 */
export interface OpenCluster {
  readonly name: string;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  readonly clusterId: string;
  /** By which the nodes know one another; undefined where one process is the whole cluster. */
  readonly identity: ClusterIdentity | undefined;
  /** Undefined where nothing is stored in this process. */
  readonly directory: OpenDirectory | undefined;
  /** Aborts when the stop has come to the metadata: what still waits for it then gives up. */
  readonly closing: AbortSignal;
}

/** A data directory that is marked with how storage ended, when it is closed. */
export interface OpenDirectory {
  readonly data: DataDirectory;
  /** How far the node has seen the metadata come. */
  readonly memory: StoreMemoryFile;
  storageEnded(end: StorageEnd): void;
  /** Nothing was written: it is left marked as it was found. */
  neverUsed(): void;
}

type DataDirectory = Awaited<ReturnType<typeof openDataDirectory>>;

/** A store in a data directory of its own holds one cluster, so that its name there says nothing. */
const CLUSTER_NAME = "standalone";

/**
 * Locks the data directory and opens the metadata in it: a cluster of this process alone.
 * Throws what a person can act on.
 */
export async function openCluster(options: OpenClusterOptions): Promise<OpenCluster> {
  const { settings, clock, random, logger, lifecycle } = options;
  const directory = await openDirectory(options, settings.clusterId);
  const { root, clusterId: expected } = directory.data;
  const store = await EmbeddedStore.open({ path: `${root}/metadata.db`, clock });
  const closing = new AbortController();
  await addPart(lifecycle, "metadata", async () => {
    closing.abort(new OttlaError("UNAVAILABLE", "the node is stopping"));
    await store.close();
  });
  const keys = new MetadataKeys(CLUSTER_NAME);
  const clusterId = await ensureClusterId({ store, keys, random, expected });
  const view = await ClusterView.open({ store, cluster: CLUSTER_NAME, clock, logger });
  closing.signal.addEventListener("abort", () => view.close());
  try {
    requireSupportedLevel(view.featureLevel);
  } catch (refusal) {
    directory.neverUsed();
    throw refusal;
  }
  view.recall(directory.memory);
  await keepMarked(directory.data, view, logger);
  return {
    name: CLUSTER_NAME,
    store,
    view,
    clusterId,
    identity: undefined,
    directory,
    closing: closing.signal,
  };
}

/** Opens the data directory of a node of that cluster, or of the cluster that it belongs to. */
export async function openDirectory(
  options: OpenClusterOptions,
  clusterId: string | undefined,
): Promise<OpenDirectory> {
  const data = await lockDirectory(options, clusterId);
  let end: StorageEnd = { clean: false, nodeEpoch: -1 };
  await addPart(options.lifecycle, "data-directory", async () => {
    const { clean, nodeEpoch } = end;
    await data.close(clean ? { clean, nodeEpoch } : { clean });
  });
  const memory = await StoreMemoryFile.open({ ...options, root: data.root });
  await addPart(options.lifecycle, "metadata-seen", () => memory.close());
  return {
    data,
    memory,
    storageEnded: (how) => {
      end = how;
    },
    neverUsed: () => {
      if (data.cleanShutdown !== undefined) end = { clean: true, ...data.cleanShutdown };
    },
  };
}

async function lockDirectory(
  options: OpenClusterOptions,
  clusterId: string | undefined,
): Promise<DataDirectory> {
  const { settings, clock, random, disk, logger } = options;
  const { dataDir, nodeId, storage } = settings;
  try {
    return await openDataDirectory({
      root: dataDir,
      disk,
      clock,
      random,
      logger,
      nodeId,
      clusterId,
      headroomBytes: storage.headroomBytes,
      maxFeatureLevel: SUPPORTED_LEVELS.max,
    });
  } catch (thrown) {
    if (!(thrown instanceof DiskError)) throw thrown;
    const reason = directoryProblem(thrown);
    throw new OttlaError(
      "INVALID_DATA_DIRECTORY",
      `the data directory ${dataDir} cannot be used: ${reason}; set --data-dir to one that can be written`,
      { cause: thrown, metadata: { field: "dataDir" } },
    );
  }
}
