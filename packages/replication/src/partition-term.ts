/**
 * What the metadata says about a partition, as far as its replicas care. `PartitionState`
 * of @ottla/metadata has these fields, so that it can be handed over as it is.
 */
export interface PartitionTerm {
  /** -1 for none. */
  readonly leader: number;
  /** The leader is this registration of the node and no other (R2). */
  readonly leaderNodeEpoch: number;
  readonly leaderEpoch: number;
  /** Grows with each change of the partition's state. */
  readonly partitionEpoch: number;
  /** Replicas that are being added are among them, those being removed until that is committed. */
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  /** Out of the ISR, with all that was acknowledged (R8). */
  readonly eligibleReplicas: readonly number[];
  readonly minInsyncReplicas: number;
}

/**
 * The nodeEpoch of each storage node that is registered, as far as this node knows; fenced nodes are missing.
 */
export type RegisteredNodes = ReadonlyMap<number, number>;

/** This registration of this node. */
export interface NodeIdentity {
  readonly nodeId: number;
  readonly nodeEpoch: number;
}
