export type { PartitionRef } from "./ask-leaders.ts";
export { ControllerClient, type ControllerClientOptions } from "./controller-client.ts";
export type { FetchOutcome } from "./fetch-stream.ts";
export { groupPartition } from "./group-partition.ts";
export { ASK_LATER, GroupRouter, type GroupRouterOptions, OUTCOME_UNKNOWN } from "./group-router.ts";
export type { LeaderChange, LeaderView, PartitionPlacement } from "./leader-view.ts";
export { PartitionRouter } from "./partition-router.ts";
export type { AppendOptions, AppendOutcome } from "./pending-append.ts";
export { fromErrorMessage, isRoutingTrouble, mayRetryRead } from "./retry.ts";
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
  type PartitionRouterOptions,
  type RouterLoad,
} from "./router-types.ts";
export type { ConnectionPurpose, TransportFor } from "./storage-node.ts";
