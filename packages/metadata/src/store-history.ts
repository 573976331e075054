import type { Revision } from "./metadata-store.ts";
import type { TermEntry } from "./values.ts";

/** How far a node has seen the store come. */
export interface SeenStore {
  /** Of the last recovery after a restored backup; 0 before the first. */
  readonly generation: number;
  readonly revision: Revision;
  /** Of the key that each write of a coordinator touches. */
  readonly changedRevision: Revision;
  /** The coordinator that wrote then; undefined when none has. */
  readonly writtenBy: string | undefined;
  /** A store that had gone back was met since, and no recovery has followed. */
  readonly hasGoneBack: boolean;
}

/** Keeps what was seen over restarts of the process, where it has a disk. */
export interface StoreMemory {
  /** As of the last run; undefined when there was none. */
  readonly seen: SeenStore | undefined;
  /** Called often; what counts is the last call. */
  remember(seen: SeenStore): void;
}

/** What a list or a watch shows of the store. */
export interface FoundStore extends Omit<SeenStore, "hasGoneBack"> {
  /** Who has coordinated, the last of them last; the oldest may be left out. */
  readonly terms: readonly TermEntry[];
}

/** Remembers nothing over restarts. */
const NO_MEMORY: StoreMemory = { seen: undefined, remember: () => {} };

const NOTHING_SEEN: SeenStore = {
  generation: 0,
  revision: 0,
  changedRevision: 0,
  writtenBy: undefined,
  hasGoneBack: false,
};

/**
 * Notices that the store is not the one that was seen before but an earlier state of it: a restored backup,
 * in which epochs would come again that were given out before. It stays so, however far that store moves on,
 * until a recovery has raised all epochs, which a higher generation says.
 */
export class StoreHistory {
  readonly #memory: StoreMemory;
  #seen: SeenStore;
  #found: FoundStore | undefined;

  constructor(memory: StoreMemory = NO_MEMORY) {
    this.#memory = memory;
    this.#seen = memory.seen ?? NOTHING_SEEN;
  }

  get seen(): SeenStore {
    return this.#seen;
  }

  /** How far a store has come that has gone back; undefined while all is well. */
  get goneBackTo(): FoundStore | undefined {
    return this.#found;
  }

  /** Returns whether the store has just gone back, or has been recovered. */
  take(found: FoundStore): boolean {
    const wasBack = this.#found !== undefined;
    this.#found = isBehind(found, this.#seen) ? found : undefined;
    const isBack = this.#found !== undefined;
    if (!isBack) {
      const { generation, revision, changedRevision, writtenBy } = found;
      this.#seen = { generation, revision, changedRevision, writtenBy, hasGoneBack: false };
    } else if (!this.#seen.hasGoneBack) this.#seen = { ...this.#seen, hasGoneBack: true };
    if (!isBack || !wasBack) this.#memory.remember(this.#seen);
    return wasBack !== isBack;
  }
}

function isBehind(found: FoundStore, seen: SeenStore): boolean {
  // A recovery covers what its nodes had seen; a node that was not among them may have seen later revisions.
  if (found.generation > seen.generation) return found.revision < seen.revision;
  if (found.generation < seen.generation || seen.hasGoneBack) return true;
  if (found.revision < seen.revision || found.changedRevision < seen.changedRevision) return true;
  return isOtherHistory(found, seen);
}

/**
 * The revisions of a restored backup soon go beyond those that were seen: coordinators write to it that have
 * not seen more. But the terms tell what its past is: who wrote last was seen writing must be among them, and
 * the next one must have come after what was seen.
 */
function isOtherHistory(found: FoundStore, { writtenBy, changedRevision }: SeenStore): boolean {
  const [oldest] = found.terms;
  // Nothing is known of so long ago, or of stores of a version that did not keep terms.
  if (writtenBy === undefined || oldest === undefined || oldest.startRevision > changedRevision) return false;
  const index = found.terms.findLastIndex(({ by }) => by === writtenBy);
  if (index < 0) return true;
  const next = found.terms[index + 1];
  return next !== undefined && next.startRevision < changedRevision;
}
