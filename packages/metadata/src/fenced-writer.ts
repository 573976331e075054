import { OttlaError } from "@ottla/errors";
import type { MetadataKeys } from "./keys.ts";
import type { Comparison, KeyValue, MetadataStore, Operation, Revision } from "./metadata-store.ts";
import { MAX_TRANSACTION_OPERATIONS } from "./transaction-limits.ts";

/** How many comparisons, and how many operations, a fenced write may have beside those that the writer adds. */
export const MAX_FENCED_OPERATIONS = MAX_TRANSACTION_OPERATIONS - 1;

export interface FencedWriterOptions {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** The create revision of the election key that the writer won. */
  readonly term: Revision;
  /** Called when a write finds out that the election is lost; may be called more than once. */
  readonly onFenced?: () => void;
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

const encoder = new TextEncoder();

/**
 * All writes of a coordinator (R1): each compares the create revision of its election key, so a deposed one changes
 * nothing, however late its requests arrive. Each also marks `changed`, which `ClusterView.refresh` reads.
 */
export class FencedWriter {
  readonly term: Revision;
  readonly #options: FencedWriterOptions;

  constructor(options: FencedWriterOptions) {
    this.term = options.term;
    this.#options = options;
  }

  /**
   * Throws METADATA_CONFLICT when one of `compare` does not hold, NOT_CONTROLLER when the election is lost, and
   * METADATA_UNAVAILABLE when nobody knows whether it was applied: read back before writing again.
   */
  async write(write: FencedWrite): Promise<FencedResult> {
    const { store, keys } = this.#options;
    const { succeeded, revision, reads } = await store.transact({
      compare: [{ key: keys.controller, createRevision: this.term }, ...write.compare],
      success: [
        { kind: "put", key: keys.changed, value: encoder.encode(`{"term":${this.term}}`) },
        ...write.success,
      ],
      failure: [{ kind: "get", key: keys.controller }],
    });
    if (succeeded) return { revision, reads };
    if (reads[0]?.createRevision !== this.term) {
      this.#options.onFenced?.();
      throw new OttlaError("NOT_CONTROLLER", "another coordinator was elected; nothing was written");
    }
    throw new OttlaError("METADATA_CONFLICT", "the metadata changed meanwhile; nothing was written");
  }
}
