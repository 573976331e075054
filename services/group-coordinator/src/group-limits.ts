/** What bounds groups; the settings of `groups.…` with their defaults. */
export interface GroupLimits {
  readonly minSessionTimeoutMs: number;
  readonly maxSessionTimeoutMs: number;
  readonly initialRebalanceDelayMs: number;
  readonly maxSize: number;
  readonly maxGroups: number;
  readonly maxMemberBytes: number;
  readonly offsetsRetentionMs: number;
  readonly offsetsRetentionCheckIntervalMs: number;
  readonly offsetMetadataMaxBytes: number;
  readonly consumerSessionTimeoutMs: number;
  readonly consumerHeartbeatIntervalMs: number;
}

/** Ids stand in records' keys, so their length is bounded as that of Kafka's strings is. */
export const MAX_ID_BYTES = 4_096;

/**
 * What all members of a classic group say in their protocols. A group is stored as one record of at most
 * 8 MiB, with what its members say in one protocol; most offer two of them. More could never be stored, and
 * would lie in memory for as long as the members' sessions.
 */
export const MAX_PROTOCOLS_BYTES = 16 * 1024 * 1024;
