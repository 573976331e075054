export type { PartitionRef } from "./ask-leaders.ts";
export type { FetchOutcome } from "./fetch-stream.ts";
export type { LeaderView, PartitionPlacement } from "./leader-view.ts";
export type { AppendOptions, AppendOutcome } from "./partition-pipeline.ts";
export {
  type DeleteRecordsOptions,
  EARLIEST_TIMESTAMP,
  type EpochEndFound,
  type EpochQuery,
  type FetchOptions,
  LATEST_TIMESTAMP,
  MAX_TIMESTAMP,
  type OffsetFound,
  type OffsetQuery,
  PartitionRouter,
  type PartitionRouterOptions,
  type RouterLoad,
} from "./partition-router.ts";
export { fromErrorMessage } from "./retry.ts";
export type { ConnectionPurpose, TransportFor } from "./storage-node.ts";
