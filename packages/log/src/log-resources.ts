import { type Codecs, inlineCodecs } from "@ottla/records";
import { type Clock, type Disk, type Random, ReadBuffers } from "@ottla/runtime";
import { IndexCache } from "./index-cache.ts";
import type { LogLogger } from "./log-logger.ts";
import type { LogMetrics } from "./log-metrics.ts";
import { OpenFiles } from "./open-files.ts";
import { ReadAheadBudget } from "./read-ahead.ts";
import { SyncScheduler } from "./sync-scheduler.ts";
import { TailCache } from "./tail-cache.ts";

/** What all logs of a node share. */
export interface LogResources {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: LogLogger;
  readonly syncScheduler: SyncScheduler;
  readonly tailCache: TailCache;
  readonly openFiles: OpenFiles;
  readonly indexCache: IndexCache;
  readonly readBuffers: ReadBuffers;
  readonly readAhead: ReadAheadBudget;
  readonly codecs: Codecs;
  readonly metrics?: LogMetrics | undefined;
}

export interface LogResourcesOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: LogLogger;
  readonly tailCacheBytes?: number;
  readonly syncConcurrency?: number;
  readonly maxOpenFiles?: number;
  readonly indexCacheBytes?: number;
  /** Where the bytes of reads go; whoever is done with what a log has read may give it back there. */
  readonly readBuffers?: ReadBuffers | undefined;
  readonly readAheadBytes?: number;
  /** Where compaction has batches decompressed and compressed. Default: on the event loop. */
  readonly codecs?: Codecs | undefined;
  readonly metrics?: LogMetrics | undefined;
}

export function createLogResources(options: LogResourcesOptions): LogResources {
  const { disk, clock, random, logger, metrics } = options;
  const readBuffers = options.readBuffers ?? new ReadBuffers();
  const readAheadBytes = options.readAheadBytes ?? 16 * 1024 * 1024;
  return {
    disk,
    clock,
    random,
    logger,
    metrics,
    syncScheduler: new SyncScheduler({ concurrency: options.syncConcurrency ?? 8, clock, metrics }),
    tailCache: new TailCache(options.tailCacheBytes ?? 16 * 1024 * 1024),
    openFiles: new OpenFiles(disk, options.maxOpenFiles ?? 1024),
    indexCache: new IndexCache(options.indexCacheBytes ?? 64 * 1024 * 1024),
    readBuffers,
    codecs: options.codecs ?? inlineCodecs,
    readAhead: new ReadAheadBudget({ clock, buffers: readBuffers, maxBytes: readAheadBytes }),
  };
}
