import type { LeaderView, PartitionPlacement } from "./leader-view.ts";

export interface ReadReplicaOptions {
  readonly view: LeaderView;
  /** The zone to read in; "" reads from leaders only. */
  readonly zone: string;
  /** Whether a node is worth asking. */
  readonly isHealthy: (nodeId: number) => boolean;
}

/**
 * The follower to read from (KIP-392): one in the same zone that is in sync, where the leader is in another
 * zone. Undefined where the leader is the one to ask.
 */
export function followerToRead(
  { leader, isr }: PartitionPlacement,
  { view, zone, isHealthy }: ReadReplicaOptions,
): number | undefined {
  if (zone === "") return undefined;
  const isNear = (nodeId: number): boolean => view.node("partition-storage", nodeId)?.zone === zone;
  if (isNear(leader)) return undefined;
  return isr.find((nodeId) => nodeId !== leader && isNear(nodeId) && isHealthy(nodeId));
}
