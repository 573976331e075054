import type { Clock, Disk, DiskFile, Logger, Timer } from "@ottla/runtime";

export interface DiskWatchdogOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A write or sync that takes longer means that the disk hangs. */
  readonly timeoutMs: number;
  /** Called now and then while it hangs. */
  readonly onStalled: () => void;
}

const CHECKS_PER_TIMEOUT = 4;

/**
 * Notices a disk that hangs: that fails nothing and answers nothing, so that without help all who wait for it
 * would wait for ever, while the node's lease says that it is well.
 */
export class DiskWatchdog {
  readonly #options: DiskWatchdogOptions;
  /** When each write or sync that is under way began, the oldest first. */
  readonly #underWay = new Map<number, number>();
  #lastId = 0;
  #stalledSinceMs: number | undefined;
  #timer: Timer | undefined;

  constructor(options: DiskWatchdogOptions) {
    this.#options = options;
  }

  get isStalled(): boolean {
    return this.#stalledSinceMs !== undefined;
  }

  /** The same disk, under watch. */
  watch(disk: Disk): Disk {
    return {
      open: async (path, mode) => this.#watchFile(await disk.open(path, mode)),
      makeDirectory: (path) => disk.makeDirectory(path),
      list: (path) => disk.list(path),
      stat: (path) => disk.stat(path),
      rename: (from, to) => disk.rename(from, to),
      remove: (path) => disk.remove(path),
      removeDirectory: (path) => disk.removeDirectory(path),
      syncDirectory: (path) => this.#timed(() => disk.syncDirectory(path)),
      space: (path) => disk.space(path),
      lock: (directory) => disk.lock(directory),
    };
  }

  start(): void {
    const { clock, timeoutMs } = this.#options;
    const check = (): void => {
      this.#check();
      this.#timer = clock.setTimer(timeoutMs / CHECKS_PER_TIMEOUT, check, { background: true });
    };
    this.#timer = clock.setTimer(timeoutMs / CHECKS_PER_TIMEOUT, check, { background: true });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #watchFile(file: DiskFile): DiskFile {
    return {
      path: file.path,
      size: () => file.size(),
      read: (position, length) => file.read(position, length),
      readInto: (position, target) => file.readInto(position, target),
      write: (position, buffers) => this.#timed(() => file.write(position, buffers)),
      sync: () => this.#timed(() => file.sync()),
      truncate: (sizeBytes) => this.#timed(() => file.truncate(sizeBytes)),
      close: () => file.close(),
    };
  }

  async #timed(operation: () => Promise<void>): Promise<void> {
    const id = this.#lastId + 1;
    this.#lastId = id;
    this.#underWay.set(id, this.#options.clock.monotonic());
    try {
      await operation();
    } finally {
      this.#underWay.delete(id);
    }
  }

  #check(): void {
    const { clock, logger, onStalled, timeoutMs } = this.#options;
    const [oldestMs] = this.#underWay.values();
    const forMs = oldestMs === undefined ? 0 : clock.monotonic() - oldestMs;
    if (forMs <= timeoutMs) {
      if (this.#stalledSinceMs !== undefined) logger.info({}, "the disk answers again");
      this.#stalledSinceMs = undefined;
      return;
    }
    if (this.#stalledSinceMs === undefined) {
      logger.error(
        { forMs: Math.round(forMs), timeoutMs },
        "the disk hangs: a write or sync does not return; other nodes are to lead instead of this one",
      );
    }
    this.#stalledSinceMs ??= oldestMs;
    onStalled();
  }
}
