export type { GroupMetadataValue, ReadRecord } from "./group-record.ts";
export { decodeGroupRecord } from "./group-record.ts";
export type { GroupTable } from "./group-table.ts";
export type { OwnedPartition } from "./owned-partition.ts";
