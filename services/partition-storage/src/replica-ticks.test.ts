import { Acks } from "@ottla/proto/ottla/v1/record";
import { encodeBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { ReplicaTicks } from "./replica-ticks.ts";
import { createTestReplica, partitionState } from "./test-replica.ts";

test("a replica has ticks only while a follower has less than its log, or may come back", async () => {
  const { clock, node, replica } = createTestReplica({
    state: partitionState({ replicas: [1, 2], isr: [1, 2], minInsyncReplicas: 2 }),
  });
  const ticks = new ReplicaTicks({ node, clock });
  void replica.openLog();
  await clock.advance(500);
  const follower = { nodeId: 2, nodeEpoch: 11, leaderEpoch: 3, positionVersion: 1 };
  const acknowledge = (end: number, lastEpoch: number): void =>
    replica.leader?.onFollowerUpdate({
      ...follower,
      position: { offset: end, lastEpoch },
      acknowledgement: { syncedEndOffset: end, lastEpoch, logStartOffset: 0 },
    });
  acknowledge(0, -1);
  await clock.advance(1_000);
  expect([...node.ticked]).toEqual([]);

  const batch = encodeBatch([{ timestampMs: 0, key: null, value: null }]);
  const request = { leaderEpoch: 3, acks: Acks.ALL, timeoutMs: 60_000, validated: true, batch };
  replica.leader?.append({ ...request, expectedEndOffset: undefined }, () => undefined);
  await clock.advance(1_000);
  expect([...node.ticked]).toEqual([replica.open]);
  expect(node.proposals).toEqual([]);
  // `replicaLagTimeMaxMs` has passed.
  await clock.advance(1_000);
  expect(node.proposals).toMatchObject([{ proposal: { isr: [1] } }]);

  acknowledge(1, 3);
  await clock.advance(1_000);
  expect([...node.ticked]).toEqual([]);
  ticks.stop();
});
