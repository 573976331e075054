export { type PartitionStorage, type StorageEnd, startPartitionStorage } from "./main.ts";
export { openDataDirectory } from "./open-data-directory.ts";
export type { PartitionReplica } from "./partition-replica.ts";
export type { PartitionStorageOptions, StorageSettings } from "./storage-options.ts";
export type { StorageLimits } from "./storage-service.ts";
