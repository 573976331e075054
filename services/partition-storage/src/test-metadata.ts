import {
  ClusterView,
  MetadataKeys,
  ModelServer,
  ModelStore,
  type PartitionState,
  partitionStateCodec,
} from "@ottla/metadata";
import { nullLogger, type VirtualClock } from "@ottla/runtime";

export const PARTITION = { topicId: "5f0c9b3e-8a52-4a5c-9a3e-3b1f0a9d7c11", partition: 0 } as const;

const IN_SYNC: PartitionState = {
  leader: 2,
  leaderNodeEpoch: 8,
  leaderEpoch: 3,
  partitionEpoch: 5,
  replicas: [],
  isr: [],
  eligibleReplicas: [],
  lastKnownLeader: -1,
  minInsyncReplicas: 1,
};

/** The metadata of a cluster with one partition, and a view of it. */
export async function metadataOf(clock: VirtualClock, replicas: readonly number[]) {
  const store = new ModelStore({ server: new ModelServer({ clock }), clock });
  const key = new MetadataKeys("test").partition(PARTITION.topicId, PARTITION.partition);
  const placeOn = async (nodeIds: readonly number[]): Promise<void> => {
    const value = partitionStateCodec.encode({ ...IN_SYNC, replicas: nodeIds, isr: nodeIds });
    await store.transact({ compare: [], success: [{ kind: "put", key, value }] });
  };
  await placeOn(replicas);
  return { placeOn, view: await ClusterView.open({ store, cluster: "test", clock, logger: nullLogger }) };
}
