import { toOttlaError } from "@ottla/errors";
import { decodeRecords, readBatchHeader } from "@ottla/records";
import type { PartitionRouter } from "@ottla/routing";
import { EARLIEST_TIMESTAMP } from "@ottla/routing";
import type { Clock, Logger } from "@ottla/runtime";
import { decodeGroupRecord, type ReadRecord } from "./group-record.ts";

export interface ReplayOptions {
  readonly router: PartitionRouter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topicId: string;
  readonly partition: number;
  /** Reads up to here: the offset of the owner's own control batch. */
  readonly endOffset: number;
  readonly signal: AbortSignal;
  readonly onRecord: (record: ReadRecord) => void;
}

const FETCH_BYTES = 4 * 1024 * 1024;
const MAX_WAIT_MS = 1_000;

/** Reads a partition of the groups' topic from its beginning; returns how many records there were. */
export async function replayLog(options: ReplayOptions): Promise<number> {
  const { router, clock, topicId, partition, endOffset, signal } = options;
  let offset = await logStartOffset(options);
  let count = 0;
  while (offset < endOffset) {
    signal.throwIfAborted();
    const fetched = await router.fetch({
      topicId,
      partition,
      offset,
      maxBytes: FETCH_BYTES,
      minBytes: 1,
      maxWaitMs: MAX_WAIT_MS,
      signal,
    });
    // Beyond what compaction has removed at the end.
    offset = Math.max(offset, fetched.nextOffset);
    const bytes = Buffer.concat(fetched.chunks);
    for (let position = 0; position < bytes.length; ) {
      const header = readBatchHeader(bytes, position);
      const batch = bytes.subarray(position, position + header.sizeBytes);
      position += header.sizeBytes;
      if (!header.isControl) count += takeBatch(batch, options);
    }
    // Others have their turn between the pieces of a long log.
    await new Promise<void>((resolve) => clock.nextTurn(resolve));
  }
  return count;
}

async function logStartOffset({ router, topicId, partition, signal }: ReplayOptions): Promise<number> {
  const query = { topicId, partition, timestampMs: EARLIEST_TIMESTAMP };
  const [found] = await router.listOffsets([query], signal);
  if (found === undefined) return 0;
  if (found instanceof Error) throw found;
  return Math.max(0, found.offset);
}

function takeBatch(batch: Uint8Array, { onRecord, logger, partition }: ReplayOptions): number {
  let count = 0;
  for (const { key, value, offset } of decodeRecords(batch)) {
    count += 1;
    try {
      const record = decodeGroupRecord(key, value);
      if (record !== undefined) onRecord(record);
    } catch (thrown) {
      // One record of a newer version must not take all other groups of the partition away.
      logger.error({ err: toOttlaError(thrown), partition, offset }, "skipped a record of a group");
    }
  }
  return count;
}
