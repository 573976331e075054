import type { Random } from "./random.ts";

/** A file system writes back whole pages, in any order. */
const PAGE_BYTES = 4096;
/** A disk writes whole sectors; most tears fall between two. */
const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly sizeBytes: number };

interface PendingChange {
  readonly change: Change;
  /** Whether the caller has been told that it is done; a sync need not cover what is still on its way. */
  answered: boolean;
}

/** What programs see, or what a power cut would surely leave. */
export type Side = "visible" | "durable";

/** What becomes of changes that no sync covers when the power goes. */
export type Unsynced = "lost" | "kept" | "random";

export interface CrashReport {
  kept: number;
  lost: number;
  torn: number;
}

/**
 * The bytes of a file twice: as programs see them, and as they lie on the platter, with
 * the changes in between.
 */
export class MemoryDiskContent {
  #visible = new GrowableBytes();
  #durable = new GrowableBytes();
  #pending: PendingChange[] = [];
  readonly #changedFrom = { visible: 0, durable: 0 };

  get sizeBytes(): number {
    return this.#visible.sizeBytes;
  }

  read(position: number, length: number): Uint8Array {
    return this.#visible.slice(position, length);
  }

  /**
   * Changes what programs see. Call the result once the caller knows: from then on a sync covers the change.
   */
  apply(change: Change): () => void {
    this.#visible.apply(change);
    this.#changed("visible", change);
    const pending = { change, answered: false };
    this.#pending.push(pending);
    return () => {
      pending.answered = true;
    };
  }

  /**
   * Starts a sync: what it covers is decided now, what that leads to when it ends. Changes are made
   * durable in the order they were made, so one still on its way is covered when a later one is.
   */
  startSync(): { succeed(): void; fail(random: Random): void } {
    const last = this.#pending.findLastIndex((pending) => pending.answered);
    const covered = new Set(this.#pending.slice(0, last + 1));
    const take = (): Change[] => {
      const changes = this.#pending
        .filter((pending) => covered.has(pending))
        .map((pending) => pending.change);
      this.#pending = this.#pending.filter((pending) => !covered.has(pending));
      return changes;
    };
    return {
      succeed: () => {
        for (const change of take()) this.#makeDurable(change);
      },
      // Linux marks the pages clean although they did not reach the disk: a later sync succeeds without them.
      fail: (random) => {
        for (const piece of take().flatMap(piecesOf)) {
          if (random.float() < 0.5) this.#makeDurable(piece);
        }
      },
    };
  }

  /** Leaves what a power cut leaves. */
  crash(unsynced: Unsynced, random: Random): CrashReport {
    const pieces = this.#pending.flatMap((pending) => piecesOf(pending.change));
    const survivors = choose(pieces, unsynced, random);
    const torn = unsynced === "random" && survivors.length > 0 && random.float() < 0.5;
    const last = torn ? survivors.pop() : undefined;
    for (const piece of survivors) this.#makeDurable(piece);
    if (last !== undefined) for (const part of tear(last, random)) this.#makeDurable(part);
    this.#pending = [];
    this.#visible = this.#durable.copy();
    this.#changedFrom.visible = 0;
    return {
      kept: survivors.length,
      lost: pieces.length - survivors.length - (torn ? 1 : 0),
      torn: torn ? 1 : 0,
    };
  }

  /** Damage on the platter; a change of that byte that is not synced yet repairs it. */
  flipBit(position: number, bit: number): void {
    this.#visible.flipBit(position, bit);
    this.#durable.flipBit(position, bit);
    this.#changedFrom.visible = Math.min(this.#changedFrom.visible, position);
    this.#changedFrom.durable = Math.min(this.#changedFrom.durable, position);
  }

  view(side: Side): Uint8Array {
    return (side === "visible" ? this.#visible : this.#durable).view();
  }

  /** From where on the bytes may differ from those of the last inspection. */
  inspect(side: Side): number {
    const changedFrom = this.#changedFrom[side];
    this.#changedFrom[side] = Number.POSITIVE_INFINITY;
    return changedFrom;
  }

  #makeDurable(change: Change): void {
    this.#durable.apply(change);
    this.#changed("durable", change);
  }

  #changed(side: Side, change: Change): void {
    const position = change.kind === "write" ? change.position : change.sizeBytes;
    this.#changedFrom[side] = Math.min(this.#changedFrom[side], position);
  }
}

/** A write as the pages it falls into; a truncation happens whole. */
function piecesOf(change: Change): Change[] {
  if (change.kind === "truncate") return [change];
  const { position, bytes } = change;
  const pieces: Change[] = [];
  let start = 0;
  while (start < bytes.byteLength) {
    const toPageEnd = PAGE_BYTES - ((position + start) % PAGE_BYTES);
    const end = Math.min(bytes.byteLength, start + toPageEnd);
    pieces.push({ kind: "write", position: position + start, bytes: bytes.subarray(start, end) });
    start = end;
  }
  return pieces;
}

/** Chooses the survivors of a crash: as often the first few as any subset of them. */
export function choose<T>(items: readonly T[], unsynced: Unsynced, random: Random): T[] {
  if (unsynced === "kept") return [...items];
  if (unsynced === "lost") return [];
  if (random.float() < 0.5) return items.slice(0, random.integer(items.length + 1));
  const share = random.float();
  return items.filter(() => random.float() < share);
}

/**
 * The first bytes of a write, and for the rest either nothing, or zeroes, or garbage that was never written.
 */
function tear(change: Change, random: Random): Change[] {
  if (change.kind === "truncate") return [change];
  const { position, bytes } = change;
  const atSector = random.float() < 0.7;
  const cut = random.integer(bytes.byteLength + 1);
  const keptBytes = atSector ? Math.max(0, cut - ((position + cut) % SECTOR_BYTES)) : cut;
  const parts: Change[] = [{ kind: "write", position, bytes: bytes.subarray(0, keptBytes) }];
  const rest = random.integer(4);
  const restBytes = bytes.byteLength - keptBytes;
  if (rest === 1) {
    parts.push({ kind: "write", position: position + keptBytes, bytes: new Uint8Array(restBytes) });
  }
  if (rest === 2) {
    parts.push({ kind: "write", position: position + keptBytes, bytes: random.bytes(restBytes) });
  }
  return parts;
}

class GrowableBytes {
  #bytes = new Uint8Array(0);
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#sizeBytes);
  }

  slice(position: number, length: number): Uint8Array {
    return this.#bytes.slice(position, Math.min(position + length, this.#sizeBytes));
  }

  apply(change: Change): void {
    if (change.kind === "truncate") {
      // Zeroed, because a file that shrinks and grows again reads as zeroes there.
      if (change.sizeBytes < this.#sizeBytes) this.#bytes.fill(0, change.sizeBytes, this.#sizeBytes);
      this.#resize(change.sizeBytes);
    } else if (change.bytes.byteLength > 0) {
      this.#resize(Math.max(this.#sizeBytes, change.position + change.bytes.byteLength));
      this.#bytes.set(change.bytes, change.position);
    }
  }

  flipBit(position: number, bit: number): void {
    if (position < this.#sizeBytes) this.#bytes[position] = (this.#bytes[position] ?? 0) ^ (1 << bit);
  }

  copy(): GrowableBytes {
    const copy = new GrowableBytes();
    copy.#bytes = this.#bytes.slice(0, this.#sizeBytes);
    copy.#sizeBytes = this.#sizeBytes;
    return copy;
  }

  #resize(sizeBytes: number): void {
    if (sizeBytes > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(sizeBytes, this.#bytes.byteLength * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#sizeBytes = sizeBytes;
  }
}
