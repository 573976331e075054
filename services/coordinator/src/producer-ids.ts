import { OttlaError, toOttlaError } from "@ottla/errors";
import { producerIdStateCodec } from "@ottla/metadata";
import type { Term } from "./term.ts";

const PRODUCER_ID_BLOCK_SIZE = 1000;

const MAX_ATTEMPTS = 10;

export interface ProducerIdBlock {
  readonly firstProducerId: number;
  readonly count: number;
}

/**
 * Takes the next block of producer ids. The key is moved on before the block is handed out, so no id is given
 * twice, over restarts and changes of the coordinator; a block whose answer is lost is never used. The calls
 * of one term must come one after another: the writer takes a key that reads as it would have written it for
 * its own write.
 */
export async function allocateProducerIds(term: Term): Promise<ProducerIdBlock> {
  const key = term.view.keys.producerIds;
  for (let attempt = 1; ; attempt += 1) {
    const entry = await term.store.get(key);
    const firstProducerId =
      entry === undefined ? 0 : producerIdStateCodec.parse(entry.value, key).nextProducerId;
    const nextProducerId = firstProducerId + PRODUCER_ID_BLOCK_SIZE;
    if (!Number.isSafeInteger(nextProducerId)) {
      throw new OttlaError("UNKNOWN_SERVER_ERROR", "all producer ids have been handed out");
    }
    try {
      await term.writer.write({
        compare: [{ key, modRevision: entry?.modRevision ?? 0 }],
        success: [{ kind: "put", key, value: producerIdStateCodec.encode({ nextProducerId }) }],
      });
      return { firstProducerId, count: PRODUCER_ID_BLOCK_SIZE };
    } catch (thrown) {
      // An earlier request whose outcome was unknown has been applied meanwhile.
      if (toOttlaError(thrown).code !== "METADATA_CONFLICT" || attempt === MAX_ATTEMPTS) throw thrown;
    }
  }
}
