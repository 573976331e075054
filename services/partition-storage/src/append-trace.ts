import { OttlaError } from "@ottla/errors";
import type { AppendEntry } from "@ottla/proto/ottla/internal/v1/storage";
import type { Span, Tracer } from "@ottla/runtime";
import type { AppendAcknowledgement } from "./waiting-appends.ts";

/** The span of one append at its leader, in two parts: until it is on this disk, and on enough others. */
export interface AppendTrace {
  readonly synced: () => void;
  readonly done: (result: AppendAcknowledgement | OttlaError) => void;
}

/** Undefined for an append that is not traced, which is nearly all of them. */
export function tracedAppend(
  tracer: Tracer | undefined,
  entry: AppendEntry,
  sizeBytes: number,
): AppendTrace | undefined {
  const { traceparent, topicId, partition, leaderEpoch } = entry;
  if (traceparent === "") return undefined;
  const span = tracer?.serve("append", traceparent, {
    "messaging.destination.partition.id": String(partition),
    "messaging.message.envelope.size": sizeBytes,
    "ottla.topic.id": topicId,
    "ottla.leader.epoch": leaderEpoch,
  });
  if (span === undefined) return undefined;
  let part: Span = span.child("sync log");
  return {
    synced: () => {
      part.end();
      part = span.child("await replicas");
    },
    done: (result) => {
      const failure = result instanceof OttlaError ? result.code : undefined;
      part.end(failure);
      if (!(result instanceof OttlaError)) span.set({ "messaging.ottla.offset": result.baseOffset });
      span.end(failure);
    },
  };
}
