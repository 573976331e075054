export {
  type PartitionStorage,
  type PartitionStorageOptions,
  type StorageEnd,
  type StorageSettings,
  startPartitionStorage,
} from "./main.ts";
export { openDataDirectory } from "./open-data-directory.ts";
export type {
  FollowedReplica,
  FollowerStreams,
  LeaderStreams,
  LedReplica,
} from "./replication/replica-seams.ts";
export type { StorageLimits } from "./storage-service.ts";
