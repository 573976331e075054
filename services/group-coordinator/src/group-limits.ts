/** What bounds groups; the settings of `groups.…` with their defaults. */
export interface GroupLimits {
  readonly minSessionTimeoutMs: number;
  readonly maxSessionTimeoutMs: number;
  readonly initialRebalanceDelayMs: number;
  readonly maxSize: number;
  readonly maxGroups: number;
  readonly offsetsRetentionMs: number;
  readonly offsetsRetentionCheckIntervalMs: number;
  readonly offsetMetadataMaxBytes: number;
  readonly consumerSessionTimeoutMs: number;
  readonly consumerHeartbeatIntervalMs: number;
}

/** Ids stand in records' keys, so their length is bounded as that of Kafka's strings is. */
export const MAX_ID_BYTES = 4_096;
