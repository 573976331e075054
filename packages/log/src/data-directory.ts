import type { OttlaError } from "@ottla/errors";
import {
  type Clock,
  type Disk,
  type DiskLock,
  makeDirectoryDurably,
  type Random,
  readWholeFile,
  writeFileDurably,
} from "@ottla/runtime";
import { DirectoryGuard } from "./directory-guard.ts";
import { DiskSpaceGuard } from "./disk-space-guard.ts";
import { DELETED_SUFFIX } from "./file-names.ts";
import { LOG_FORMATS } from "./format-versions.ts";
import type { LogLogger } from "./log-logger.ts";
import {
  encodeMetaProperties,
  invalidDirectory,
  type MetaProperties,
  parseMetaProperties,
} from "./meta-properties.ts";
import { OpenedPartitions } from "./opened-partitions.ts";
import {
  type PartitionName,
  parsePartitionDirectoryName,
  partitionDirectoryName,
} from "./partition-directory.ts";

export interface DataDirectoryOptions {
  readonly root: string;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: LogLogger;
  readonly nodeId: number;
  /** The cluster that the node belongs to. When not given: what the directory says, or a new one. */
  readonly clusterId?: string | undefined;
  /**
   * The highest feature level whose forms the program can read; a directory of a higher one is refused.
   * Default: any.
   */
  readonly maxFeatureLevel?: number | undefined;
  /** See `DiskSpaceGuard`. */
  readonly headroomBytes?: number | undefined;
}

export interface StoredPartition extends PartitionName {
  readonly directory: string;
}

/** The last process closed all its logs; it ran under this node epoch (R9). */
export interface CleanShutdown {
  readonly nodeEpoch: number;
}

const META_PROPERTIES = "meta.properties";
const CLEAN_SHUTDOWN = "clean-shutdown";
const MARK_VERSION = LOG_FORMATS["clean-shutdown"];
const MARK = new RegExp(`^version: ${MARK_VERSION}\\nnode-epoch: (\\d{1,16})\\n$`);
const OPENED_PARTITIONS = "opened-partitions";
const TOPICS = "topics";
const SET_ASIDE = "set-aside";
const MAX_SMALL_FILE_BYTES = 4096;

/**
 * A storage node's directory: locked by one process, belonging to one node of one cluster.
 *
 *     meta.properties                   format version, cluster id, node id, directory id, feature level
 *     clean-shutdown                    there only between a clean stop and the next start
 *     opened-partitions                 which partitions there have to be, CRC
 *     topics/<topicId>-<partition>/     one directory per partition replica
 *     set-aside/                        what nobody knows; for an operator to look at, never deleted by us
 */
export class DataDirectory {
  readonly root: string;
  /** Set when the last process stopped cleanly: its logs need no scan. */
  readonly cleanShutdown: CleanShutdown | undefined;
  readonly spaceGuard: DiskSpaceGuard;
  readonly #options: DataDirectoryOptions;
  readonly #lock: DiskLock;
  readonly #opened: OpenedPartitions;
  #guard: DirectoryGuard | undefined;
  #meta: MetaProperties;
  /** Marks with a feature level, one after another. */
  #marking: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(
    options: DataDirectoryOptions,
    found: {
      lock: DiskLock;
      meta: MetaProperties;
      cleanShutdown: CleanShutdown | undefined;
      opened: OpenedPartitions;
    },
  ) {
    this.#options = options;
    this.#lock = found.lock;
    this.#opened = found.opened;
    this.root = options.root;
    this.#meta = found.meta;
    this.cleanShutdown = found.cleanShutdown;
    const { disk, clock, logger, headroomBytes } = options;
    this.spaceGuard = new DiskSpaceGuard({ disk, clock, logger, path: options.root, headroomBytes });
  }

  /**
   * Locks and checks the directory, makes it when it is new, and takes the clean-shutdown mark away,
   * durably, before anything can be written. Throws DATA_DIRECTORY_LOCKED or INVALID_DATA_DIRECTORY.
   */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    const { root, disk } = options;
    await makeDirectoryDurably(disk, root);
    const lock = await disk.lock(root);
    try {
      const meta = await loadMeta(options);
      await makeDirectoryDurably(disk, `${root}/${TOPICS}`);
      const opened = await OpenedPartitions.open({ ...options, path: `${root}/${OPENED_PARTITIONS}` });
      const cleanShutdown = await takeCleanShutdown(options);
      const directory = new DataDirectory(options, { lock, meta, cleanShutdown, opened });
      await directory.#tidy();
      await directory.spaceGuard.start();
      return directory;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  get clusterId(): string {
    return this.#meta.clusterId;
  }

  get directoryId(): string {
    return this.#meta.directoryId;
  }

  /** What is in the directory may be in forms of this feature level, and of none above it. */
  get featureLevel(): number {
    return this.#meta.featureLevel;
  }

  /**
   * Notes, durably, that forms of the level are written from now on: a program that cannot read them refuses
   * the directory then. It never goes back to a lower one.
   */
  markFeatureLevel(level: number): Promise<void> {
    const marking = this.#marking.then(() => this.#mark(level));
    this.#marking = marking.catch(() => undefined);
    return marking;
  }

  async #mark(featureLevel: number): Promise<void> {
    if (this.#closed || this.lost !== undefined || featureLevel <= this.#meta.featureLevel) return;
    const marked = { ...this.#meta, featureLevel };
    await writeMeta(this.#options, marked);
    this.#meta = marked;
  }

  /**
   * Looks from now on, once a second, whether this is still the directory that was opened. When it is not,
   * appends are refused, nothing is marked at the close, and `onLost` is called, once, or this rejects with
   * what it would get. Whoever runs the node then stops it.
   */
  async watch(onLost: (error: OttlaError) => void): Promise<void> {
    const { root } = this;
    const meta = this.#meta;
    const metaPath = `${root}/${META_PROPERTIES}`;
    const lost = (error: OttlaError): void => {
      this.spaceGuard.stop();
      onLost(error);
    };
    this.#guard = await DirectoryGuard.start({ ...this.#options, root, metaPath, meta, onLost: lost });
  }

  /** Set when the directory was removed or replaced under the node. */
  get lost(): OttlaError | undefined {
    return this.#guard?.lost;
  }

  /** Why appends are refused now, if they are. Cheap: asked before each append. */
  refusal(): OttlaError | undefined {
    return this.#guard?.lost ?? this.spaceGuard.refusal();
  }

  /** Where the partitions lie. It was made when the directory was opened, and is not made again. */
  get topicsDirectory(): string {
    return `${this.root}/${TOPICS}`;
  }

  partitionDirectory(name: PartitionName): string {
    return `${this.topicsDirectory}/${partitionDirectoryName(name)}`;
  }

  async listPartitions(): Promise<StoredPartition[]> {
    const partitions: StoredPartition[] = [];
    for (const entry of await this.#options.disk.list(`${this.root}/${TOPICS}`)) {
      const name = parsePartitionDirectoryName(entry.name);
      if (name !== undefined && entry.kind === "directory") {
        partitions.push({ ...name, directory: this.partitionDirectory(name) });
      }
    }
    return partitions;
  }

  /** Whether the partition's log was opened here before, and has to be here (R9). */
  wasOpened(name: PartitionName): boolean {
    return this.#opened.has(partitionDirectoryName(name));
  }

  /** To be called before anything is acknowledged of a log that was opened first; durable on return. */
  async noteOpened(name: PartitionName): Promise<void> {
    if (!this.wasOpened(name)) await this.#opened.add(partitionDirectoryName(name));
  }

  /** Removes a partition's files, on its topic's tombstone only. Its log must be closed. */
  async deletePartition(name: PartitionName): Promise<void> {
    const { disk } = this.#options;
    const directory = this.partitionDirectory(name);
    await this.#noteGone(partitionDirectoryName(name));
    if ((await disk.stat(directory)) === undefined) return;
    // The name goes first, so that a crash in between leaves no half of a partition.
    const deleted = `${directory}.${this.#options.random.uuid()}${DELETED_SUFFIX}`;
    await disk.rename(directory, deleted);
    await disk.syncDirectory(`${this.root}/${TOPICS}`);
    await disk.removeDirectory(deleted);
  }

  /** Puts a partition that the cluster does not know out of the way; a missing key never deletes data. */
  async setAside(name: PartitionName): Promise<string> {
    return this.#moveAside(partitionDirectoryName(name));
  }

  /**
   * Frees the directory. `clean` leaves the mark; give it only when all logs were closed without an error.
   */
  async close(
    end: { readonly clean: false } | { readonly clean: true; readonly nodeEpoch: number },
  ): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.spaceGuard.stop();
    this.#guard?.stop();
    await this.#marking;
    try {
      // What has taken its place since the last look is marked by its own node.
      await this.#guard?.check();
      if (end.clean && this.lost === undefined) {
        const text = `version: ${MARK_VERSION}\nnode-epoch: ${end.nodeEpoch}\n`;
        const path = `${this.root}/${CLEAN_SHUTDOWN}`;
        await writeFileDurably(this.#options.disk, path, new TextEncoder().encode(text));
      }
    } finally {
      await this.#lock.release();
    }
  }

  /** Finishes deletions that a crash cut short, and sets aside what is not a partition. */
  async #tidy(): Promise<void> {
    const { disk } = this.#options;
    for (const { name } of await disk.list(`${this.root}/${TOPICS}`)) {
      if (name.endsWith(DELETED_SUFFIX)) await disk.removeDirectory(`${this.root}/${TOPICS}/${name}`);
      else if (parsePartitionDirectoryName(name) === undefined) await this.#moveAside(name);
    }
  }

  /** Also on a full disk files are to go, and a name too many does no harm. */
  async #noteGone(name: string): Promise<void> {
    await this.#opened.remove(name).catch((err: unknown) => {
      this.#options.logger.warn({ name, err }, "cannot note that a partition is no longer here");
    });
  }

  async #moveAside(name: string): Promise<string> {
    const { disk, clock, logger } = this.#options;
    await this.#noteGone(name);
    const directory = `${this.root}/${SET_ASIDE}`;
    await makeDirectoryDurably(disk, directory, { below: this.root });
    let to = `${directory}/${name}.${clock.now()}`;
    for (let count = 1; (await disk.stat(to)) !== undefined; count += 1) {
      to = `${directory}/${name}.${clock.now()}.${count}`;
    }
    await disk.rename(`${this.root}/${TOPICS}/${name}`, to);
    await disk.syncDirectory(directory);
    await disk.syncDirectory(`${this.root}/${TOPICS}`);
    logger.warn({ from: `${TOPICS}/${name}`, to }, "set aside a directory that the cluster does not know");
    return to;
  }
}

async function loadMeta(options: DataDirectoryOptions): Promise<MetaProperties> {
  const { root, disk, random, nodeId } = options;
  const path = `${root}/${META_PROPERTIES}`;
  const bytes = await readWholeFile(disk, path, MAX_SMALL_FILE_BYTES);
  if (bytes === undefined) {
    const topics = await disk.stat(`${root}/${TOPICS}`);
    if (topics !== undefined && (await disk.list(`${root}/${TOPICS}`)).length > 0) {
      throw invalidDirectory(
        `${root} holds partitions but no ${META_PROPERTIES}: restore it, or use an empty directory`,
      );
    }
    const clusterId = options.clusterId ?? random.uuid();
    const meta = { clusterId, nodeId, directoryId: random.uuid(), featureLevel: 1 };
    await writeMeta(options, meta);
    return meta;
  }
  const meta = parseMetaProperties(new TextDecoder().decode(bytes), path);
  const { maxFeatureLevel = Number.POSITIVE_INFINITY } = options;
  if (meta.featureLevel > maxFeatureLevel) {
    throw invalidDirectory(
      `${root} was written at feature level ${meta.featureLevel}; this version of Ottla reads up to level ` +
        `${maxFeatureLevel}: use a newer one`,
    );
  }
  if (options.clusterId !== undefined && meta.clusterId !== options.clusterId) {
    throw invalidDirectory(
      `${root} belongs to cluster ${meta.clusterId}, but this node is of cluster ${options.clusterId}`,
    );
  }
  if (meta.nodeId !== nodeId) {
    throw invalidDirectory(`${root} belongs to node ${meta.nodeId}, but this is node ${nodeId}`);
  }
  return meta;
}

function writeMeta({ root, disk }: DataDirectoryOptions, meta: MetaProperties): Promise<void> {
  return writeFileDurably(
    disk,
    `${root}/${META_PROPERTIES}`,
    new TextEncoder().encode(encodeMetaProperties(meta)),
  );
}

async function takeCleanShutdown(options: DataDirectoryOptions): Promise<CleanShutdown | undefined> {
  const { root, disk } = options;
  const path = `${root}/${CLEAN_SHUTDOWN}`;
  const bytes = await readWholeFile(disk, path, MAX_SMALL_FILE_BYTES);
  if (bytes === undefined) return undefined;
  await disk.remove(path);
  await disk.syncDirectory(root);
  const match = MARK.exec(new TextDecoder().decode(bytes));
  return match === null ? undefined : { nodeEpoch: Number(match[1]) };
}
