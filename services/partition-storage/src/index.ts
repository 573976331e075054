export {
  type PartitionStorage,
  type PartitionStorageOptions,
  type StorageEnd,
  type StorageSettings,
  startPartitionStorage,
} from "./main.ts";
export { openDataDirectory } from "./open-data-directory.ts";
export type { PartitionReplica } from "./partition-replica.ts";
export type { StorageLimits } from "./storage-service.ts";
