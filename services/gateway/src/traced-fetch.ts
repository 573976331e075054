import { toOttlaError } from "@ottla/errors";
import type { FetchOptions, FetchOutcome, PartitionRouter } from "@ottla/routing";
import { rpcAttributes } from "@ottla/rpc";
import type { Tracer } from "@ottla/runtime";

export interface TracedFetchOptions {
  readonly router: PartitionRouter;
  readonly tracer: Tracer | undefined;
  /** The stream that the records go to, for example "ottla.v1.LogService/Read". */
  readonly method: string;
  readonly topic: string;
  /** What the stream's caller sent in its metadata. */
  readonly traceparent: string | undefined;
}

/** One fetch for a stream of records: a span of its own, because the stream has no end. */
export async function tracedFetch(options: TracedFetchOptions, fetch: FetchOptions): Promise<FetchOutcome> {
  const { router, tracer, method, topic, traceparent } = options;
  const span = tracer?.serve(`${method} fetch`, traceparent, {
    ...rpcAttributes(method),
    "messaging.destination.name": topic,
    "messaging.destination.partition.id": String(fetch.partition),
    "messaging.ottla.offset": fetch.offset,
  });
  if (span === undefined) return router.fetch(fetch);
  try {
    const outcome = await router.fetch({ ...fetch, traceparent: span.traceparent });
    span.set({ "messaging.message.envelope.size": outcome.sizeBytes });
    span.end();
    return outcome;
  } catch (thrown) {
    span.end(toOttlaError(thrown).code);
    throw thrown;
  }
}
