import type { LogService } from "@ottla/proto/ottla/v1/log";
import type { ServiceImplementation } from "@ottla/rpc";
import { guarded } from "../guarded.ts";
import { serveAppend } from "./append.ts";
import { serveFetch } from "./fetch.ts";
import { serveListOffsets } from "./list-offsets.ts";
import { type ProduceOptions, serveProduce } from "./produce.ts";
import type { ProducerIds } from "./producer-ids.ts";
import { type ReadOptions, serveRead } from "./read.ts";

export interface LogServiceOptions extends ProduceOptions, ReadOptions {
  readonly producerIds: ProducerIds;
}

/** Serves ottla.v1.LogService. */
export function createLogService(options: LogServiceOptions): ServiceImplementation<typeof LogService> {
  return {
    append: (request, context) => guarded(() => serveAppend(options, request, context)),
    produce: (stream, context) => guarded(() => serveProduce(options, stream, context)),
    fetch: (request, context) => guarded(() => serveFetch(options, request, context)),
    read: (request, stream, context) => guarded(() => serveRead(options, request, stream, context)),
    listOffsets: (request, context) => guarded(() => serveListOffsets(options, request, context)),
    initProducer: () =>
      guarded(async () => ({ producerId: BigInt(await options.producerIds.next()), producerEpoch: 0 })),
  };
}
