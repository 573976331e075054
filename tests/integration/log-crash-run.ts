import {
  createLogResources,
  DEFAULT_LOG_CONFIG,
  type LogConfig,
  type LogResources,
  SegmentedLog,
  verifyLog,
} from "@ottla/log";
import { decodeBatches, encodeBatch } from "@ottla/records";
import { type FaultCounts, MemoryDisk, nullLogger, SeededRandom, VirtualClock } from "@ottla/runtime";

/** A batch that was sent, and what became of it. */
interface Sent {
  readonly batch: Uint8Array;
  readonly producer: number;
  readonly ids: readonly number[];
  readonly baseOffset: number;
  readonly lastOffset: number;
  acknowledged: boolean;
}

export interface CrashRunReport {
  readonly faults: FaultCounts;
  readonly lives: number;
  readonly acknowledgedBatches: number;
  readonly unacknowledgedBatches: number;
  readonly recognisedRetries: number;
  readonly cutBytes: number;
  readonly failedLogs: number;
  readonly failedAppends: number;
  readonly truncations: number;
}

const DIRECTORY = "/data/topics/t-0";
const LIVES = 3;
const PRODUCERS = 3;

/**
 * Runs one log through a few lives on a disk that loses what it may lose, and throws when
 * it keeps no promise.
 */
export async function runCrashes(seed: number): Promise<CrashRunReport> {
  const run = new CrashRun(seed);
  for (let life = 0; life < LIVES; life += 1) await run.live(life);
  await run.lastLook();
  return run.report();
}

class CrashRun {
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock();
  readonly #disk: MemoryDisk;
  readonly #config: LogConfig;
  readonly #sequences = Array.from({ length: PRODUCERS }, () => 0);
  #epochs = Array.from({ length: PRODUCERS }, () => 0);
  #sent: Sent[] = [];
  #nextId = 0;
  #leaderEpoch = 0;
  #logStartOffset = 0;
  #cutFrom: number | undefined;
  #unacknowledged = 0;
  #recognised = 0;
  #cutBytes = 0;
  #failedLogs = 0;
  #failedAppends = 0;
  #truncations = 0;
  #acknowledged = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#disk = new MemoryDisk({ clock: this.#clock, random: new SeededRandom(seed + 1) });
    this.#config = {
      ...DEFAULT_LOG_CONFIG,
      segmentBytes: 1000 + this.#random.integer(8000),
      indexIntervalBytes: 1 + this.#random.integer(600),
      segmentIndexBytes: this.#random.integer(3) === 0 ? 60 : 10_000,
      fileDeleteDelayMs: 10,
    };
  }

  report(): CrashRunReport {
    return {
      faults: this.#disk.faults.counts,
      lives: LIVES,
      acknowledgedBatches: this.#acknowledged,
      unacknowledgedBatches: this.#unacknowledged,
      recognisedRetries: this.#recognised,
      cutBytes: this.#cutBytes,
      failedLogs: this.#failedLogs,
      failedAppends: this.#failedAppends,
      truncations: this.#truncations,
    };
  }

  async live(life: number): Promise<void> {
    const log = await this.#open(false);
    this.#leaderEpoch += 1;
    await this.#check(log);
    await this.#retryLast(log);
    this.#watch(log);
    await this.#orderFaults(life);
    const steps = 5 + this.#random.integer(30);
    for (let step = 0; step < steps && log.failure === undefined; step += 1) {
      await this.#step(log);
      await this.#turns(this.#random.integer(6));
    }
    if (log.failure !== undefined) this.#failedLogs += 1;
    this.#cutFrom = log.failure === undefined ? undefined : log.flushedEndOffset;
    const processOnly = log.failure !== undefined && this.#random.integer(2) === 0;
    if (!processOnly) {
      await quiet();
      this.#disk.crash();
      this.#cutFrom = undefined;
    }
    await log.abandon();
    this.#disk.faults.clear();
    this.#disk.faults.capacityBytes = 2 ** 40;
    const found = await verifyLog(DIRECTORY, this.#disk);
    if (found.errorCount > 0) throw new Error(`after the crash: ${JSON.stringify(found.problems)}`);
  }

  /** Opens once more after the last crash, and once more after a clean close. */
  async lastLook(): Promise<void> {
    const recovered = await this.#open(false);
    await this.#check(recovered);
    await recovered.close();
    const found = await verifyLog(DIRECTORY, this.#disk);
    if (found.errorCount > 0) {
      throw new Error(`after a clean close: ${JSON.stringify(found.problems)}`);
    }
    const clean = await this.#open(true);
    if (clean.recoveryReport.kind !== "clean") throw new Error("a cleanly closed log was scanned");
    await this.#check(clean);
    await this.#retryLast(clean);
    await clean.abandon();
  }

  async #open(cleanShutdown: boolean): Promise<SegmentedLog> {
    const resources: LogResources = createLogResources({
      disk: this.#disk,
      clock: this.#clock,
      random: new SeededRandom(1),
      logger: nullLogger,
      tailCacheBytes: [0, 3000, 1_000_000][this.#random.integer(3)] ?? 0,
      maxOpenFiles: 1 + this.#random.integer(8),
    });
    const log = await SegmentedLog.open({
      directory: DIRECTORY,
      resources,
      config: this.#config,
      cleanShutdown,
      ...(this.#cutFrom !== undefined && { cutFrom: this.#cutFrom }),
    });
    if (log.recoveryReport.damagedRanges.length > 0) {
      throw new Error(`synced records are lost: ${JSON.stringify(log.recoveryReport)}`);
    }
    if (log.damagedFrom !== undefined) {
      throw new Error(`the log takes itself for damaged from ${log.damagedFrom}, with nothing lost (R12)`);
    }
    this.#cutBytes += log.recoveryReport.cutBytes;
    return log;
  }

  #watch(log: SegmentedLog): void {
    log.onProgress(() => {
      for (const sent of this.#sent) {
        if (sent.acknowledged || sent.lastOffset >= log.syncedEndOffset) continue;
        sent.acknowledged = true;
        this.#acknowledged += 1;
      }
    });
    log.onAppendsFailed((fromOffset) => {
      this.#failedAppends += 1;
      this.#sent = this.#sent.filter((sent) => {
        if (sent.baseOffset >= fromOffset && sent.acknowledged)
          throw new Error("an acknowledged append failed");
        return sent.baseOffset < fromOffset;
      });
      this.#renewProducers();
    });
  }

  async #orderFaults(life: number): Promise<void> {
    const { faults } = this.#disk;
    const dice = this.#random.integer(9);
    const skip = this.#random.integer(40);
    if (dice === 0) faults.fail({ operation: "sync", path: /\.log$/, skip, times: 1 });
    if (dice === 1) faults.fail({ operation: "write", path: /\.log$/, skip, times: 1 });
    if (dice === 2) faults.fail({ operation: "write", path: /\.log$/, skip, times: 2 }, "ENOSPC");
    if (dice === 3) faults.fail({ operation: "write", skip, times: 2 }, "ENOSPC");
    if (dice === 4) faults.slow({ operation: "sync", probability: 0.3 }, 1, 5);
    if (dice === 6) {
      const { freeBytes, totalBytes } = await this.#disk.space(DIRECTORY);
      faults.capacityBytes = totalBytes - freeBytes + this.#random.integer(8000);
    }
    if (dice === 5 && life > 0) faults.fail({ operation: "any", skip, times: 1 });
  }

  async #step(log: SegmentedLog): Promise<void> {
    const dice = this.#random.integer(40);
    if (dice === 0) await this.#tolerantly(() => log.checkpoint(log.syncedEndOffset));
    else if (dice === 1) await this.#truncate(log);
    else if (dice === 2) await this.#deleteRecords(log);
    else if (dice === 3) await this.#clock.advance(this.#random.integer(20));
    else if (dice === 4) await this.#tolerantly(() => log.flush());
    else this.#append(log);
  }

  #append(log: SegmentedLog): void {
    const producer = this.#random.integer(PRODUCERS);
    const count = 1 + this.#random.integer(3);
    const ids = Array.from({ length: count }, () => this.#nextId++);
    const baseSequence = this.#sequences[producer] ?? 0;
    const batch = encodeBatch(
      ids.map((id) => ({
        timestampMs: this.#clock.now() - this.#random.integer(1000),
        key: null,
        value: new TextEncoder().encode(`${id} ${"x".repeat(this.#random.integer(300))}`),
      })),
      { producerId: producer, producerEpoch: this.#epochs[producer] ?? 0, baseSequence },
    );
    const appended = log.append(batch, {
      leaderEpoch: this.#leaderEpoch,
      validated: false,
      origin: "client",
    });
    this.#sequences[producer] = baseSequence + count;
    const { baseOffset, lastOffset } = appended;
    this.#sent.push({ batch, producer, ids, baseOffset, lastOffset, acknowledged: false });
  }

  async #truncate(log: SegmentedLog): Promise<void> {
    const visible = Math.max(log.logEndOffset - log.logStartOffset, 0);
    const offset = log.logStartOffset + this.#random.integer(visible + 1);
    await this.#tolerantly(async () => {
      // From its call on, a truncation may have happened, whatever becomes of the call.
      await log.flush();
      const boundary = this.#sent.find(({ lastOffset }) => lastOffset >= offset)?.baseOffset ?? offset;
      for (const sent of this.#sent) if (sent.baseOffset >= boundary) sent.acknowledged = false;
      this.#renewProducers();
      await log.truncateTo(offset);
      this.#sent = this.#sent.filter(({ baseOffset }) => baseOffset < boundary);
      this.#truncations += 1;
    });
    this.#leaderEpoch += 1;
  }

  async #deleteRecords(log: SegmentedLog): Promise<void> {
    const { logStartOffset, syncedEndOffset } = log;
    const offset = logStartOffset + this.#random.integer(Math.max(syncedEndOffset - logStartOffset, 0) + 1);
    await this.#tolerantly(async () => {
      this.#logStartOffset = await log.deleteRecordsBefore(offset);
    });
  }

  /** After an unknown outcome a producer begins a new epoch, as idempotent clients do. */
  #renewProducers(): void {
    this.#epochs = this.#epochs.map((epoch) => epoch + 1);
    this.#sequences.fill(0);
  }

  async #check(log: SegmentedLog): Promise<void> {
    if (log.logStartOffset < this.#logStartOffset) throw new Error("the log start offset went back (R14)");
    this.#logStartOffset = log.logStartOffset;
    const found = await readAll(log);
    const seen = new Set<number>();
    for (const id of found.values()) {
      if (seen.has(id)) throw new Error(`record ${id} is stored twice`);
      seen.add(id);
    }
    for (const { ids, baseOffset, acknowledged } of this.#sent) {
      for (const [index, id] of ids.entries()) {
        const offset = baseOffset + index;
        if (!acknowledged || offset < log.logStartOffset) continue;
        if (found.get(offset) !== id) {
          throw new Error(
            `acknowledged record ${id} at ${offset}: found ${found.get(offset)}; end ${log.logEndOffset}`,
          );
        }
      }
    }
    // What was not acknowledged may be there or not; a producer that does not know begins anew.
    const lost = this.#sent.filter(({ acknowledged }) => !acknowledged);
    this.#unacknowledged += lost.length;
    for (const sent of lost) if (found.get(sent.baseOffset) === sent.ids[0]) sent.acknowledged = true;
    this.#sent = this.#sent.filter(({ acknowledged }) => acknowledged);
  }

  /** R11: a retry of any of the last five batches of a producer gets the first answer. */
  async #retryLast(log: SegmentedLog): Promise<void> {
    for (let producer = 0; producer < PRODUCERS; producer += 1) {
      const batches = this.#sent.filter(
        (sent) => sent.producer === producer && sent.lastOffset < log.logEndOffset,
      );
      const current = batches.filter(({ batch }) => epochOf(batch) === epochOf(batches.at(-1)?.batch));
      for (const sent of current.slice(-5)) {
        if (sent.baseOffset < log.logStartOffset) continue;
        const options = { leaderEpoch: this.#leaderEpoch + 1, validated: false, origin: "client" } as const;
        const again = log.append(sent.batch, options);
        if (!again.duplicate || again.baseOffset !== sent.baseOffset) {
          throw new Error(`a retry of offset ${sent.baseOffset} was answered with ${JSON.stringify(again)}`);
        }
        this.#recognised += 1;
      }
    }
    this.#renewProducers();
    this.#leaderEpoch += 1;
  }

  /** Injected faults may refuse it; anything else is a bug. */
  async #tolerantly(task: () => Promise<unknown>): Promise<void> {
    try {
      await this.#pump(task());
    } catch (error) {
      const { counts } = this.#disk.faults;
      const injected = counts.writesFailed + counts.syncsFailed + counts.othersFailed + counts.opensFailed;
      if (injected + counts.readsFailed + counts.diskFull === 0) throw error;
    }
  }

  /** Moves time on until the task is done, for slow disks. */
  async #pump(task: Promise<unknown>): Promise<void> {
    let done = false;
    const noted = task.finally(() => {
      done = true;
    });
    noted.catch(() => undefined);
    for (;;) {
      await this.#turns(2);
      if (done) break;
      await this.#clock.advance(0.5);
    }
    await noted;
  }

  async #turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) {
      await new Promise<void>((resolve) => {
        this.#clock.nextTurn(resolve);
      });
    }
  }
}

/** Until all promises have settled: a crash comes between two steps of the process, never inside one. */
function quiet(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function epochOf(batch: Uint8Array | undefined): number {
  return batch === undefined ? -1 : new DataView(batch.buffer, batch.byteOffset).getInt16(51);
}

async function readAll(log: SegmentedLog): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  let next = log.logStartOffset;
  while (next < log.logEndOffset) {
    const result = await log.read(next, { maxBytes: 2000, endOffset: log.logEndOffset });
    if (result.nextOffset <= next) throw new Error(`reading ${next} of ${log.logEndOffset} gave nothing`);
    for (const record of decodeBatches(Buffer.concat(result.chunks))) {
      const text = new TextDecoder().decode(record.value ?? new Uint8Array(0));
      if (record.offset >= log.logStartOffset) found.set(record.offset, Number.parseInt(text, 10));
    }
    next = result.nextOffset;
  }
  for (let offset = log.logStartOffset; offset < log.logEndOffset; offset += 1) {
    if (!found.has(offset)) throw new Error(`offset ${offset} is missing`);
  }
  return found;
}
