import { hostname } from "node:os";
import { resolve } from "node:path";
import { toOttlaError } from "@ottla/errors";
import {
  createLogger,
  createMetricsRegistry,
  Lifecycle,
  type Logger,
  loadSettings,
  NodeDisk,
  ProcessExit,
  readWholeFile,
  releaseUnusedMemory,
  runUntilSignal,
  type Settings,
  settingsHelp,
  systemClock,
  systemRandom,
  VERSION,
} from "@ottla/runtime";
import { nextCommands, warnWhenOpen } from "./banner.ts";
import { type RunningNode, startNode } from "./node.ts";
import { withNodeIdOfHost } from "./node-id.ts";

/** Exit codes of `serve` beside those of `ProcessExit`; numbers as in sysexits. */
export const ServeExit = {
  USAGE: 64,
  UNAVAILABLE: 69,
  CANNOT_CREATE: 73,
  TEMPORARY: 75,
  CONFIG: 78,
} as const;

/** `ottla serve`: runs until a signal and resolves with the exit code. `argv` is what follows `serve`. */
export async function runServe(argv: readonly string[]): Promise<number> {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(await settingsHelp({ width: process.stdout.columns ?? 100 }));
    return ProcessExit.CLEAN;
  }
  const startedMs = systemClock.monotonic();
  const disk = new NodeDisk();
  let settings: Settings;
  try {
    settings = await loadSettings({ argv, env: process.env, readFile: (path) => readText(disk, path) });
  } catch (thrown) {
    process.stderr.write(`ottla serve: ${toOttlaError(thrown).message}\n`);
    return ServeExit.CONFIG;
  }
  const logger = createLogger({ level: settings.log.level, format: settings.log.format });
  const lifecycle = new Lifecycle({ clock: systemClock, logger });
  // From here on a signal stops what has started, also while the node still waits for etcd.
  const ended = runUntilSignal({ lifecycle, logger, timeoutMs: settings.shutdown.timeoutMs });
  try {
    warnWhenOpen(settings, logger);
    const node = await startNode({
      settings: { ...withNodeIdOfHost(settings, hostname()), dataDir: resolve(settings.dataDir) },
      clock: systemClock,
      random: systemRandom,
      disk,
      logger,
      metrics: createMetricsRegistry({ processMetrics: true }),
      lifecycle,
    });
    void node.untilReady().then(() => sayReady(node, settings, logger, startedMs));
  } catch (thrown) {
    const error = toOttlaError(thrown);
    // Told to stop while it started: the stop says how that went.
    if (error.code === "CANCELLED") return ended;
    logger.debug({ err: error }, "cannot start");
    process.stderr.write(`ottla serve: ${error.message}\n`);
    return exitCodeOf(error.code);
  }
  return ended;
}

function sayReady(node: RunningNode, settings: Settings, logger: Logger, startedMs: number): void {
  const { lifecycle, clusterId, grpcPort, kafkaPort, httpPort, internalPort } = node;
  if (lifecycle.stopping) return;
  const startMs = Math.round(systemClock.monotonic() - startedMs);
  const { listen, dataDir } = settings;
  const ports = Object.entries({ grpcPort, kafkaPort, httpPort, internalPort });
  const open = Object.fromEntries(ports.filter(([, port]) => port >= 0));
  logger.info({ version: VERSION, listen, ...open, dataDir, clusterId, startMs }, "ready");
  if (process.stdout.isTTY && node.grpcPort >= 0) process.stdout.write(nextCommands(node));
  releaseUnusedMemory();
}

const MAX_CONFIG_FILE_BYTES = 1024 * 1024;

async function readText(disk: NodeDisk, path: string): Promise<string> {
  const bytes = await readWholeFile(disk, resolve(path), MAX_CONFIG_FILE_BYTES);
  if (bytes === undefined) throw new Error("there is no such file");
  return new TextDecoder().decode(bytes);
}

function exitCodeOf(code: string): number {
  switch (code) {
    case "INVALID_CONFIG":
      return ServeExit.CONFIG;
    case "DATA_DIRECTORY_LOCKED":
      return ServeExit.TEMPORARY;
    case "INVALID_DATA_DIRECTORY":
      return ServeExit.CANNOT_CREATE;
    default:
      return ServeExit.UNAVAILABLE;
  }
}
