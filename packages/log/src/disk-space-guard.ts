import { OttlaError } from "@ottla/errors";
import type { Clock, Disk, DiskSpace, Timer } from "@ottla/runtime";
import type { LogLogger } from "./log-logger.ts";
import { RepeatedWarning } from "./repeated-warning.ts";

export interface DiskSpaceGuardOptions {
  readonly disk: Disk;
  readonly path: string;
  readonly clock: Clock;
  readonly logger: LogLogger;
  /** Free bytes below which appends are refused. 512 MiB, but at most 5 % of the disk, when not given. */
  readonly headroomBytes?: number | undefined;
}

const DEFAULT_HEADROOM_BYTES = 512 * 1024 * 1024;
const DEFAULT_HEADROOM_SHARE = 0.05;
/** Appends resume once there is this much more than the headroom, so that they do not flicker. */
const RESUME_SHARE = 1.1;
const RELAXED_INTERVAL_MS = 1000;
/** Near the limit a fast disk could eat the whole headroom within a second. */
const URGENT_INTERVAL_MS = 100;
const URGENT_BELOW_BYTES = 4 * 1024 * 1024 * 1024;

/**
 * Keeps some of the disk free: when less is left, appends fail early with a clear error while reads go on and
 * checkpoints still find room. Recovers by itself when space returns.
 */
export class DiskSpaceGuard {
  readonly #options: DiskSpaceGuardOptions;
  readonly #warning: RepeatedWarning;
  #space: DiskSpace = { freeBytes: Number.MAX_SAFE_INTEGER, totalBytes: Number.MAX_SAFE_INTEGER };
  #isFull = false;
  #timer: Timer | undefined;
  #stopped = false;
  readonly #fullListeners = new Set<() => void>();

  constructor(options: DiskSpaceGuardOptions) {
    this.#options = options;
    this.#warning = new RepeatedWarning(options);
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** As of the last check. */
  get space(): DiskSpace {
    return this.#space;
  }

  get headroomBytes(): number {
    const { totalBytes } = this.#space;
    return (
      this.#options.headroomBytes ??
      Math.min(DEFAULT_HEADROOM_BYTES, Math.floor(totalBytes * DEFAULT_HEADROOM_SHARE))
    );
  }

  /** Why appends are refused now, if they are. Cheap: asked before each append. */
  refusal(): OttlaError | undefined {
    if (!this.#isFull) return undefined;
    const { freeBytes } = this.#space;
    const { headroomBytes } = this;
    return new OttlaError(
      "KAFKA_STORAGE_ERROR",
      `the disk is full: ${freeBytes} bytes are free below ${this.#options.path} and storage.headroom-bytes ` +
        `keeps ${headroomBytes}; free space or lower the topics' retention, appends then resume by themselves`,
      {
        metadata: {
          reason: "disk full",
          freeBytes: String(freeBytes),
          headroomBytes: String(headroomBytes),
        },
      },
    );
  }

  /** Called whenever the disk has become full. Returns what ends it. */
  onFull(listener: () => void): () => void {
    this.#fullListeners.add(listener);
    return () => {
      this.#fullListeners.delete(listener);
    };
  }

  /** Checks once and then again and again. */
  async start(): Promise<void> {
    await this.check();
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Looks at the disk now; also called when a write met a full disk. */
  async check(): Promise<void> {
    const { disk, path, logger } = this.#options;
    this.#space = await disk.space(path);
    const { freeBytes } = this.#space;
    const wasFull = this.#isFull;
    const limit = wasFull ? this.headroomBytes * RESUME_SHARE : this.headroomBytes;
    this.#isFull = freeBytes < limit;
    if (this.#isFull === wasFull) return;
    const facts = { path, freeBytes, headroomBytes: this.headroomBytes };
    if (this.#isFull) {
      logger.error(facts, "the disk is full: appends are refused until space returns");
      for (const listener of this.#fullListeners) listener();
    } else logger.info(facts, "the disk has space again: appends resume");
  }

  #schedule(): void {
    if (this.#stopped) return;
    const isNear = this.#space.freeBytes - this.headroomBytes < URGENT_BELOW_BYTES;
    const delayMs = isNear ? URGENT_INTERVAL_MS : RELAXED_INTERVAL_MS;
    this.#timer = this.#options.clock.setTimer(delayMs, () => this.#checkAgain(), { background: true });
  }

  #checkAgain(): void {
    this.check()
      .catch((thrown: unknown) => {
        const { path } = this.#options;
        this.#warning.warn({ path }, "cannot ask how much of the disk is free", thrown);
      })
      .finally(() => this.#schedule());
  }
}
