import { OttlaError } from "@ottla/errors";
import { type Clock, type Disk, type FileStat, readWholeFile, type Timer } from "@ottla/runtime";
import type { LogLogger } from "./log-logger.ts";
import { type MetaProperties, parseMetaProperties } from "./meta-properties.ts";
import { RepeatedWarning } from "./repeated-warning.ts";

export interface DirectoryGuardOptions {
  readonly disk: Disk;
  readonly root: string;
  /** The file in it that says which one it is. */
  readonly metaPath: string;
  readonly meta: MetaProperties;
  readonly clock: Clock;
  readonly logger: LogLogger;
  /** Called once. */
  readonly onLost: (error: OttlaError) => void;
}

const INTERVAL_MS = 1_000;
const MAX_META_BYTES = 4_096;

/**
 * Notices when a data directory that is in use was removed, moved or replaced. Files that are open go on
 * without a name, so that nothing fails: the node would acknowledge records that no start finds again (R9).
 */
export class DirectoryGuard {
  readonly #options: DirectoryGuardOptions;
  readonly #root: FileStat;
  readonly #warning: RepeatedWarning;
  #lost: OttlaError | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  private constructor(options: DirectoryGuardOptions, root: FileStat) {
    this.#options = options;
    this.#root = root;
    this.#warning = new RepeatedWarning(options);
  }

  /** Throws what `onLost` gets when it is lost already. */
  static async start(options: DirectoryGuardOptions): Promise<DirectoryGuard> {
    const root = await options.disk.stat(options.root);
    if (root === undefined) throw directoryLost(options.root, "it is gone");
    const guard = new DirectoryGuard(options, root);
    await guard.check();
    if (guard.lost !== undefined) throw guard.lost;
    guard.#schedule();
    return guard;
  }

  /** Why nothing may be written to the directory any more. */
  get lost(): OttlaError | undefined {
    return this.#lost;
  }

  /** Looks now. Does not reject: a disk that fails is not a directory that is gone. */
  async check(): Promise<void> {
    if (this.#lost !== undefined) return;
    let reason: string | undefined;
    try {
      reason = await this.#reason();
    } catch (thrown) {
      this.#warning.warn({ path: this.#options.root }, "cannot look after the data directory", thrown);
      return;
    }
    if (reason === undefined || this.#lost !== undefined) return;
    const error = directoryLost(this.#options.root, reason);
    this.#lost = error;
    this.stop();
    this.#options.onLost(error);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #reason(): Promise<string | undefined> {
    const { disk, root, metaPath, meta } = this.#options;
    const found = await disk.stat(root);
    if (found === undefined) return "it is gone";
    if (found.identity !== this.#root.identity) return "another directory has taken its place";
    const bytes = await readWholeFile(disk, metaPath, MAX_META_BYTES);
    if (bytes === undefined) return `${metaPath} is gone`;
    const isSame = directoryIdIn(bytes, metaPath) === meta.directoryId;
    return isSame ? undefined : `${metaPath} is of another directory`;
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(
      INTERVAL_MS,
      () => void this.check().finally(() => this.#schedule()),
      { background: true },
    );
  }
}

function directoryIdIn(bytes: Uint8Array, path: string): string | undefined {
  try {
    return parseMetaProperties(new TextDecoder().decode(bytes), path).directoryId;
  } catch {
    return undefined;
  }
}

function directoryLost(root: string, reason: string): OttlaError {
  return new OttlaError(
    "KAFKA_STORAGE_ERROR",
    `the data directory ${root} is lost while the node runs: ${reason}; the node stops, so that others lead what ` +
      "they have replicas of. Put the directory back before the next start, or start with an empty one: what it " +
      "held is then fetched from the other replicas",
    { metadata: { reason: "data directory lost" } },
  );
}
