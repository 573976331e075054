export { type ErrorCode, OttlaError } from "@ottla/errors";
export type { Compression, RecordHeader } from "@ottla/records";
export type { Admin } from "./admin/admin.ts";
export type * from "./admin/admin-types.ts";
export type { GroupAdmin } from "./admin/group-admin.ts";
export type * from "./admin/group-admin-types.ts";
export type { AssignmentInput, StartOffset, TopicPartition } from "./consume/assigned-partition.ts";
export type { ConsumedBatch, ConsumedRecord } from "./consume/consumed-batch.ts";
export type { Consumer, IterationOptions } from "./consume/consumer.ts";
export type { CaughtUp, ConsumerOptions } from "./consume/consumer-options.ts";
export type { GroupConsumer, RunOptions } from "./consume/group-consumer.ts";
export type { GroupConsumerOptions } from "./consume/group-consumer-options.ts";
export { type ClientLogger, type ConnectionUse, Ottla, type OttlaOptions } from "./ottla.ts";
export type { Producer } from "./produce/producer.ts";
export type { AcksName, BatchOutcome, ProducerOptions } from "./produce/producer-options.ts";
export type { Bytes, DeliveredRecord, HeadersInput, ProducerRecord } from "./produce/record.ts";
export {
  type ClientSpan,
  type ClientTracer,
  type SpanContext,
  type SpanLink,
  traceContextOf,
} from "./tracing.ts";
