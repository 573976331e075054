import { OttlaError } from "@ottla/errors";
import {
  ClusterView,
  MetadataKeys,
  ModelServer,
  ModelStore,
  type PartitionState,
  partitionStateCodec,
} from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { InProcessTransport, type ServiceImplementation, ServiceRegistry } from "@ottla/rpc";
import { nullLogger, VirtualClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { ReplicaReports } from "./replica-reports.ts";

const TOPIC_ID = "5f0c9b3e-8a52-4a5c-9a3e-3b1f0a9d7c11";
const IN_SYNC: PartitionState = {
  leader: 2,
  leaderNodeEpoch: 8,
  leaderEpoch: 3,
  partitionEpoch: 5,
  replicas: [1, 2],
  isr: [1, 2],
  eligibleReplicas: [],
  lastKnownLeader: -1,
  minInsyncReplicas: 1,
};

test("damage is reported until it is heard of, and no more once the replica is whole again", async () => {
  const clock = new VirtualClock();
  const store = new ModelStore({ server: new ModelServer({ clock }), clock });
  const key = new MetadataKeys("test").partition(TOPIC_ID, 0);
  const value = partitionStateCodec.encode(IN_SYNC);
  await store.transact({ compare: [], success: [{ kind: "put", key, value }] });
  let heard = 0;
  const refuse = (): never => {
    heard += 1;
    throw new OttlaError("UNAVAILABLE", "not now");
  };
  const methods = CoordinatorService.methods.map(({ localName }) => [localName, refuse]);
  const service = Object.fromEntries(methods) as ServiceImplementation<typeof CoordinatorService>;
  const registry = new ServiceRegistry().add(CoordinatorService, service);
  const reports = new ReplicaReports({
    view: await ClusterView.open({ store, cluster: "test", clock, logger: nullLogger }),
    clock,
    logger: nullLogger,
    identity: () => ({ nodeId: 1, nodeEpoch: 7 }),
    controller: () => new InProcessTransport({ registry, clock }),
    onNotController: () => undefined,
    timeoutMs: 1_000,
  });
  const partition = { topicId: TOPIC_ID, partition: 0 };
  reports.add(partition, { kind: "damaged", fromOffset: 3 });
  await clock.advance(1_000);
  const before = heard;
  expect(before).toBeGreaterThan(1);
  reports.withdrawDamage(partition);
  await clock.advance(60_000);
  expect(heard).toBe(before);
  await reports.close();
});
