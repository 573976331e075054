import { OttlaError, toOttlaError } from "@ottla/errors";
import type { MetadataKeys } from "./keys.ts";
import type { Comparison, KeyValue, MetadataStore, Operation, Revision } from "./metadata-store.ts";
import { MAX_TRANSACTION_OPERATIONS } from "./transaction-limits.ts";
import { changedStateCodec } from "./values.ts";

/**
 * How many comparisons, and how many operations, a fenced write may have beside those that the writer adds.
 */
export const MAX_FENCED_OPERATIONS = MAX_TRANSACTION_OPERATIONS - 1;

export interface FencedWriterOptions {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** The create revision of the election key that the writer won. */
  readonly term: Revision;
  /** Called when a write finds out that the election is lost; may be called more than once. */
  readonly onFenced?: () => void;
  /** Random for each term: see `TermsState`. */
  readonly by: string;
  /**
   * Resolves when the writer's view has caught up with the store again, undefined when it follows it: a store
   * that was lost and found may be another one, in which the writer's election may stand.
   */
  readonly untilFollowing?: () => Promise<void> | undefined;
  /** Why nothing may be written now; undefined when it may. */
  readonly refusal?: () => OttlaError | undefined;
}

export interface FencedWrite {
  readonly compare: readonly Comparison[];
  readonly success: readonly Operation[];
}

export interface FencedResult {
  /** The revision that contains the write. */
  readonly revision: Revision;
  readonly reads: readonly (KeyValue | undefined)[];
}

/**
 * All writes of a coordinator (R1): each compares the create revision of its election key, so a deposed one
 * changes nothing, however late its requests arrive. Each also marks `changed`, which `ClusterView.refresh`
 * reads.
 */
export class FencedWriter {
  readonly term: Revision;
  readonly by: string;
  readonly #options: FencedWriterOptions;
  readonly #changed: Uint8Array;

  constructor(options: FencedWriterOptions) {
    this.term = options.term;
    this.by = options.by;
    this.#options = options;
    this.#changed = changedStateCodec.encode({ term: options.term, by: options.by });
  }

  /**
   * Throws METADATA_CONFLICT when one of `compare` does not hold, NOT_CONTROLLER when the election is lost,
   * and METADATA_UNAVAILABLE when reading back does not show whether it was applied: look at the state before
   * going on.
   */
  async write(write: FencedWrite): Promise<FencedResult> {
    try {
      return await this.#transact(write);
    } catch (thrown) {
      const error = toOttlaError(thrown);
      const revision = error.code === "METADATA_UNAVAILABLE" ? await this.#readBack(write) : undefined;
      if (revision === undefined) throw error;
      return { revision, reads: [] };
    }
  }

  async #transact(write: FencedWrite): Promise<FencedResult> {
    const lagging = this.#options.untilFollowing?.();
    if (lagging !== undefined) await lagging;
    const refusal = this.#options.refusal?.();
    if (refusal !== undefined) throw refusal;
    const { store, keys } = this.#options;
    const { succeeded, revision, reads } = await store.transact({
      compare: [{ key: keys.controller, createRevision: this.term }, ...write.compare],
      success: [{ kind: "put", key: keys.changed, value: this.#changed }, ...write.success],
      failure: [{ kind: "get", key: keys.controller }],
    });
    if (succeeded) return { revision, reads };
    if (reads[0]?.createRevision !== this.term) {
      this.#options.onFenced?.();
      throw new OttlaError("NOT_CONTROLLER", "another coordinator was elected; nothing was written");
    }
    throw new OttlaError("METADATA_CONFLICT", "the metadata changed meanwhile; nothing was written");
  }

  /**
   * After an answer that was lost: the revision of the write, if it can be seen to have been applied. A key
   * that was compared and now holds exactly what this write put there, at a later revision, can only come
   * from it.
   */
  async #readBack(write: FencedWrite): Promise<Revision | undefined> {
    for (const operation of write.success) {
      if (operation.kind !== "put") continue;
      const comparison = write.compare.find((candidate) => candidate.key === operation.key);
      if (comparison === undefined) continue;
      const before = "modRevision" in comparison ? comparison.modRevision : comparison.createRevision;
      const entry = await this.#options.store.get(operation.key).catch(() => undefined);
      if (entry === undefined || entry.modRevision <= before) return undefined;
      return Buffer.compare(entry.value, operation.value) === 0 ? entry.modRevision : undefined;
    }
    return undefined;
  }
}
