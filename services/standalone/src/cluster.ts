import { OttlaError } from "@ottla/errors";
import {
  ClusterView,
  EmbeddedStore,
  ensureClusterId,
  MetadataKeys,
  type MetadataStore,
} from "@ottla/metadata";
import { openDataDirectory, type StorageEnd } from "@ottla/partition-storage";
import { type Clock, type Disk, DiskError, type Logger, type Random, type Settings } from "@ottla/runtime";

export interface OpenClusterOptions {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly logger: Logger;
}

/**
 * The cluster of one process: its metadata store in the data directory, and the view of
 * it that all services share.
 */
export interface OpenCluster {
  readonly name: string;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  readonly clusterId: string;
  readonly directory: DataDirectory;
  /** Notes how storage ended: the data directory is marked with it. */
  storageEnded(end: StorageEnd): void;
  /** Closes everything. */
  close(): Promise<void>;
}

type DataDirectory = Awaited<ReturnType<typeof openDataDirectory>>;

/** A store in a data directory of its own holds one cluster, so that its name there says nothing. */
const CLUSTER_NAME = "standalone";

const NOT_CLEAN: StorageEnd = { clean: false, nodeEpoch: -1 };

/** Locks the data directory and opens the metadata in it. Throws what a person can act on. */
export async function openCluster(options: OpenClusterOptions): Promise<OpenCluster> {
  const { clock, random, logger } = options;
  const directory = await openDirectory(options);
  let store: EmbeddedStore | undefined;
  try {
    store = await EmbeddedStore.open({ path: `${directory.root}/metadata.db`, clock });
    const keys = new MetadataKeys(CLUSTER_NAME);
    const clusterId = await ensureClusterId({ store, keys, random, expected: directory.clusterId });
    const view = await ClusterView.open({ store, cluster: CLUSTER_NAME, clock, logger });
    const opened = store;
    let storageEnd = NOT_CLEAN;
    return {
      name: CLUSTER_NAME,
      store,
      view,
      clusterId,
      directory,
      storageEnded: (end) => {
        storageEnd = end;
      },
      close: async () => {
        view.close();
        await opened.close();
        await closeDirectory(directory, storageEnd);
      },
    };
  } catch (thrown) {
    await store?.close();
    await closeDirectory(directory, NOT_CLEAN);
    throw thrown;
  }
}

async function closeDirectory(directory: DataDirectory, { clean, nodeEpoch }: StorageEnd): Promise<void> {
  await directory.close(clean ? { clean, nodeEpoch } : { clean });
}

async function openDirectory(options: OpenClusterOptions): Promise<DataDirectory> {
  const { settings, clock, random, disk, logger } = options;
  const { dataDir, nodeId, clusterId, storage } = settings;
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
    });
  } catch (thrown) {
    if (!(thrown instanceof DiskError)) throw thrown;
    const reason = thrown.code === "EACCES" ? "this user may not write there" : thrown.message;
    throw new OttlaError(
      "INVALID_DATA_DIRECTORY",
      `the data directory ${dataDir} cannot be used: ${reason}; set --data-dir to one that can be written`,
      { cause: thrown, metadata: { field: "dataDir" } },
    );
  }
}
