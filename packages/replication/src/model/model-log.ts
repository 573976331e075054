import type { EpochEnd, ReplicaLog } from "../replica-log.ts";
import type { SeededChoices } from "./seeded-choices.ts";

export interface ModelRecord {
  readonly epoch: number;
  /** Another one for each append of a client. */
  readonly value: number;
}

interface EpochStart {
  readonly epoch: number;
  readonly startOffset: number;
}

/** A replica's log in memory: what is synced survives a crash, of the rest any part may. */
export class ModelLog implements ReplicaLog {
  #records: ModelRecord[] = [];
  #firstOffset = 0;
  #epochs: EpochStart[] = [];
  logStartOffset = 0;
  syncedEndOffset = 0;

  get logEndOffset(): number {
    return this.#firstOffset + this.#records.length;
  }

  get latestEpoch(): number {
    return this.#epochs.at(-1)?.epoch ?? -1;
  }

  at(offset: number): ModelRecord | undefined {
    return offset < this.logStartOffset ? undefined : this.#records[offset - this.#firstOffset];
  }

  leaderEpochAt(offset: number): number | undefined {
    return this.#epochs.findLast(({ startOffset }) => startOffset <= offset)?.epoch;
  }

  endOffsetForEpoch(epoch: number): EpochEnd | undefined {
    const index = this.#epochs.findLastIndex((entry) => entry.epoch <= epoch);
    const found = this.#epochs[index];
    if (found === undefined) return undefined;
    return { epoch: found.epoch, endOffset: this.#epochs[index + 1]?.startOffset ?? this.logEndOffset };
  }

  beginEpoch(epoch: number): void {
    if (epoch <= this.latestEpoch) return;
    this.#forgetEpochsFrom(this.logEndOffset);
    this.#epochs.push({ epoch, startOffset: this.logEndOffset });
  }

  append(record: ModelRecord): void {
    // An epoch that this node began as leader without writing anything yields to what its next leader has.
    if (record.epoch < this.latestEpoch) this.#forgetEpochsFrom(this.logEndOffset);
    if (record.epoch < this.latestEpoch) throw new Error(`epoch ${record.epoch} follows ${this.latestEpoch}`);
    this.beginEpoch(record.epoch);
    this.#records.push(record);
  }

  sync(upTo: number): void {
    this.syncedEndOffset = Math.max(this.syncedEndOffset, Math.min(upTo, this.logEndOffset));
  }

  truncateTo(offset: number): void {
    const endOffset = Math.max(offset, this.logStartOffset);
    if (endOffset >= this.logEndOffset) return;
    this.#records.length = endOffset - this.#firstOffset;
    this.#forgetEpochsFrom(endOffset);
    this.syncedEndOffset = Math.min(this.syncedEndOffset, endOffset);
  }

  restartAt(offset: number): void {
    const startOffset = Math.max(offset, this.logStartOffset);
    this.#records = [];
    this.#epochs = [];
    this.#firstOffset = startOffset;
    this.logStartOffset = startOffset;
    this.syncedEndOffset = startOffset;
  }

  deleteBefore(offset: number): void {
    if (offset <= this.logStartOffset) return;
    const epoch = this.leaderEpochAt(offset);
    this.logStartOffset = Math.min(offset, this.logEndOffset);
    const later = this.#epochs.filter(({ startOffset }) => startOffset > this.logStartOffset);
    this.#epochs = epoch === undefined ? later : [{ epoch, startOffset: this.logStartOffset }, ...later];
  }

  /** A power cut: the unsynced end is lost, in part or whole; what is left is read back and synced. */
  crash(choices: SeededChoices): void {
    this.truncateTo(choices.between(this.syncedEndOffset, this.logEndOffset));
    this.#forgetEpochsFrom(this.logEndOffset);
    this.syncedEndOffset = this.logEndOffset;
  }

  #forgetEpochsFrom(offset: number): void {
    while ((this.#epochs.at(-1)?.startOffset ?? -1) >= offset) this.#epochs.pop();
  }
}

/** A synced log whose records are of these epochs. */
export function logOf(...epochs: readonly number[]): ModelLog {
  const log = new ModelLog();
  for (const [offset, epoch] of epochs.entries()) log.append({ epoch, value: 100 * epoch + offset });
  log.sync(log.logEndOffset);
  return log;
}
