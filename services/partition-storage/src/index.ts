export { startPartitionStorage } from "./main.ts";
export { openDataDirectory } from "./open-data-directory.ts";
export type { PartitionReplica } from "./partition-replica.ts";
export type { PartitionStorage, StorageEnd } from "./running-storage.ts";
export type { PartitionStorageOptions, StorageSettings } from "./storage-options.ts";
export type { StorageLimits } from "./storage-service.ts";
export { StoreMemoryFile } from "./store-memory.ts";
