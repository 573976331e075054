import type { GroupRecord } from "./group-record.ts";

/** Where a group's changes are made durable: the log of the partition that it belongs to. */
export interface GroupJournal {
  /**
   * Resolves when the records are on the in-sync replicas. Records become durable in the order of the calls.
   * Rejects when that is not certain: then the partition's groups are read anew from the log, and what is in
   * memory is of no use any more. `traceparent` is of the span that the change belongs to.
   */
  append(records: readonly GroupRecord[], traceparent?: string): Promise<void>;
  /** Resolves when all that was appended before is durable. */
  flushed(): Promise<void>;
}
