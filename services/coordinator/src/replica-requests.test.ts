import { IsrRefusal } from "@ottla/proto/ottla/internal/v1/coordinator";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newTopic, TestCluster, type TestCoordinator, type TestNode } from "./test-cluster.ts";

let cluster: TestCluster;
let coordinator: TestCoordinator;
let nodes: Map<number, TestNode>;

beforeEach(async () => {
  cluster = await TestCluster.open();
  nodes = new Map();
  for (const nodeId of [1, 2, 3]) nodes.set(nodeId, await cluster.registerNode(nodeId));
  coordinator = await cluster.startCoordinator();
  await coordinator.running.whenActive();
  await cluster.settle();
});

afterEach(async () => {
  await cluster.close();
});

async function createTopic(partitions: number, minInsyncReplicas = 2): Promise<string> {
  const configs = { "min.insync.replicas": String(minInsyncReplicas) };
  const request = newTopic("t", { partitions, replicationFactor: 3, configs });
  const { topicId } = await coordinator.client.createTopic(request);
  await cluster.settle();
  return topicId;
}

function state(topicId: string, partition = 0) {
  const found = cluster.view.partition(topicId, partition);
  if (found === undefined) throw new Error(`there is no partition ${partition}`);
  return found;
}

function epochOf(nodeId: number): number {
  return cluster.view.node("partition-storage", nodeId)?.nodeEpoch ?? 0;
}

function instance(nodeId: number, nodeEpoch = epochOf(nodeId)) {
  return { nodeId, nodeEpoch: BigInt(nodeEpoch) };
}

/** What the leader of the partition would ask for. */
function change(topicId: string, partition: number, isr: readonly number[], more = {}) {
  const { leaderEpoch, partitionEpoch, isr: before } = state(topicId, partition);
  const added = isr.filter((nodeId) => !before.includes(nodeId)).map((nodeId) => instance(nodeId));
  return { topicId, partition, leaderEpoch, partitionEpoch, isr: [...isr], added, lostRecords: [], ...more };
}

async function propose(topicId: string, isr: readonly number[], more = {}) {
  const { leader } = state(topicId);
  const changes = [change(topicId, 0, isr, more)];
  const { answers } = await coordinator.client.alterIsr({ ...instance(leader), changes });
  await cluster.settle();
  return answers[0];
}

describe("a change of the ISR", () => {
  it("takes members out and in, each a new partition epoch in the same leader epoch", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    const others = replicas.filter((nodeId) => nodeId !== leader);
    const [kept = 0] = others;
    expect(await propose(topicId, [leader, kept])).toMatchObject({
      refusal: IsrRefusal.UNSPECIFIED,
      partitionEpoch: 1,
    });
    expect(state(topicId)).toMatchObject({
      isr: [leader, kept],
      eligibleReplicas: [],
      leaderEpoch: 0,
      partitionEpoch: 1,
    });
    await propose(topicId, replicas);
    expect(state(topicId)).toMatchObject({ isr: replicas, partitionEpoch: 2 });
  });

  it("keeps those who leave a small ISR eligible, unless they lost records (R4, R8, R12)", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    const [first = 0, second = 0] = replicas.filter((nodeId) => nodeId !== leader);
    await propose(topicId, [leader], { lostRecords: [second] });
    expect(state(topicId)).toMatchObject({ isr: [leader], eligibleReplicas: [first] });
    await propose(topicId, [leader, second]);
    expect(state(topicId).eligibleReplicas).toEqual([]);
  });

  it("that changes nothing is committed: it settles what is unknown", async () => {
    const topicId = await createTopic(1);
    const { replicas } = state(topicId);
    expect(await propose(topicId, replicas)).toMatchObject({ refusal: 0, partitionEpoch: 1 });
    expect(state(topicId)).toMatchObject({ isr: replicas, partitionEpoch: 1 });
  });

  it("of another partition epoch, leader epoch or registration is refused (R1, R2)", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    expect(await propose(topicId, replicas, { partitionEpoch: 7 })).toMatchObject({
      refusal: IsrRefusal.STALE_PARTITION_EPOCH,
    });
    expect(await propose(topicId, replicas, { leaderEpoch: 7 })).toMatchObject({
      refusal: IsrRefusal.FENCED_LEADER_EPOCH,
    });
    const changes = [change(topicId, 0, replicas)];
    for (const caller of [instance(leader, 1), instance(leader === 1 ? 2 : 1)]) {
      const { answers } = await coordinator.client.alterIsr({ ...caller, changes });
      expect(answers).toMatchObject([{ refusal: IsrRefusal.FENCED_LEADER_EPOCH }]);
    }
    const { answers } = await coordinator.client.alterIsr({
      ...instance(leader),
      changes: [{ ...change(topicId, 0, replicas), partition: 9 }],
    });
    expect(answers).toMatchObject([{ refusal: IsrRefusal.FENCED_LEADER_EPOCH }]);
    expect(state(topicId).partitionEpoch).toBe(0);
  });

  it("adds nobody who is gone, has registered again or is about to stop (R7)", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    const [kept = 0, joining = 0] = replicas.filter((nodeId) => nodeId !== leader);
    await propose(topicId, [leader, kept]);
    const refusal = { refusal: IsrRefusal.INELIGIBLE_REPLICA };
    expect(await propose(topicId, replicas, { added: [instance(joining, 1)] })).toMatchObject(refusal);
    expect(await propose(topicId, replicas, { added: [] })).toMatchObject(refusal);
    expect(await propose(topicId, [kept])).toMatchObject(refusal);
    const foreign = await propose(topicId, [...replicas, 9], { added: [instance(joining), instance(9)] });
    expect(foreign).toMatchObject(refusal);
    await coordinator.client.moveLeadersAway(instance(joining));
    expect(await propose(topicId, replicas)).toMatchObject(refusal);
    await nodes.get(joining)?.lease.revoke();
    expect(await propose(topicId, replicas, { added: [instance(joining)] })).toMatchObject(refusal);
  });

  it("is refused when the registration of who joins ends unseen by the coordinator (R7)", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    const [kept = 0, joining = 0] = replicas.filter((nodeId) => nodeId !== leader);
    await propose(topicId, [leader, kept]);
    const changes = [change(topicId, 0, replicas)];
    coordinator.store.faults.watchDelayMs = 1000;
    await nodes.get(joining)?.lease.revoke();
    const { answers } = await coordinator.client.alterIsr({ ...instance(leader), changes });
    expect(answers).toMatchObject([{ refusal: IsrRefusal.INELIGIBLE_REPLICA }]);
  });

  it("has one outcome for each partition, however many there are", async () => {
    const topicId = await createTopic(600);
    const revision = cluster.view.revision;
    const { nodeId, nodeEpoch } = instance(1);
    const mine = [...cluster.view.partitionsOf(topicId)].filter(({ leader }) => leader === 1);
    expect(mine).toHaveLength(200);
    const changes = mine.map(({ partition }, i) =>
      change(topicId, partition, i % 2 === 0 ? [1, 2] : [1, 3], i === 7 ? { partitionEpoch: 5 } : {}),
    );
    const { answers } = await coordinator.client.alterIsr({ nodeId, nodeEpoch, changes });
    await cluster.settle();
    expect(answers).toHaveLength(200);
    for (const [i, answer] of answers.entries()) {
      expect(answer.refusal).toBe(i === 7 ? IsrRefusal.STALE_PARTITION_EPOCH : IsrRefusal.UNSPECIFIED);
    }
    // etcd takes 128 operations in one transaction.
    expect(cluster.view.revision - revision).toBe(2);
  });

  it("says that it knows nothing when the store's answer is lost, and is settled by the next", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    coordinator.store.faults.nextTransaction = "request-lost";
    expect(await propose(topicId, [leader])).toMatchObject({ refusal: IsrRefusal.UNKNOWN_OUTCOME });
    // What was applied and only not answered is read back.
    coordinator.store.faults.nextTransaction = "answer-lost";
    expect(await propose(topicId, replicas)).toMatchObject({ refusal: 0, partitionEpoch: 1 });
  });

  it("follows another one at once, before the view shows that", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    coordinator.store.faults.watchDelayMs = 1000;
    const first = change(topicId, 0, [leader]);
    const second = { ...first, partitionEpoch: 1, isr: [...replicas] };
    second.added = replicas.filter((nodeId) => nodeId !== leader).map((nodeId) => instance(nodeId));
    const answers = [];
    for (const wanted of [first, second]) {
      const answer = await coordinator.client.alterIsr({ ...instance(leader), changes: [wanted] });
      answers.push(...answer.answers);
    }
    expect(answers).toMatchObject([
      { refusal: 0, partitionEpoch: 1 },
      { refusal: 0, partitionEpoch: 2 },
    ]);
  });

  it("refuses more than a request may hold", async () => {
    const topicId = await createTopic(1);
    const changes = Array.from({ length: 1001 }, () => change(topicId, 0, [1]));
    await expect(coordinator.client.alterIsr({ ...instance(1), changes })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
  });
});

describe("a report", () => {
  it("of damage takes the replica out of ISR and eligible replicas, and the lead from it (R12)", async () => {
    const topicId = await createTopic(1);
    const { leader, replicas } = state(topicId);
    const damaged = { topicId, partition: 0, what: { case: "damagedFrom", value: 5n } } as const;
    await coordinator.client.reportReplicas({ ...instance(leader), reports: [damaged] });
    await cluster.settle();
    const after = state(topicId);
    expect(after.leader).not.toBe(leader);
    expect(after).toMatchObject({ leaderEpoch: 1, isr: replicas.filter((nodeId) => nodeId !== leader) });
    for (const nodeId of after.isr) {
      await coordinator.client.reportReplicas({ ...instance(nodeId), reports: [damaged] });
    }
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: -1, isr: [], eligibleReplicas: [], lastKnownLeader: -1 });
  });

  it("that a leader resigned gives the lead to another, or back in a new epoch (R2)", async () => {
    const topicId = await createTopic(1);
    const { leader } = state(topicId);
    const resigned = { topicId, partition: 0, what: { case: "resignedLeaderEpoch", value: 0 } } as const;
    await coordinator.client.reportReplicas({ ...instance(leader), reports: [resigned] });
    await cluster.settle();
    const next = state(topicId).leader;
    expect(next).not.toBe(leader);
    expect(state(topicId)).toMatchObject({ leaderEpoch: 1 });
    await propose(topicId, [next]);
    // A report of an older epoch says nothing about this one.
    await coordinator.client.reportReplicas({ ...instance(next), reports: [resigned] });
    expect(state(topicId)).toMatchObject({ leader: next, leaderEpoch: 1 });
    const again = { topicId, partition: 0, what: { case: "resignedLeaderEpoch", value: 1 } } as const;
    const { revision } = await coordinator.client.reportReplicas({ ...instance(next), reports: [again] });
    await cluster.view.waitForRevision(Number(revision));
    expect(state(topicId)).toMatchObject({ leader: next, leaderEpoch: 2, isr: [next] });
  });

  it("of a former registration is refused", async () => {
    const topicId = await createTopic(1);
    const damaged = { topicId, partition: 0, what: { case: "damagedFrom", value: 5n } } as const;
    const report = coordinator.client.reportReplicas({ ...instance(1, 1), reports: [damaged] });
    await expect(report).rejects.toMatchObject({ code: "STALE_BROKER_EPOCH" });
  });
});

describe("a controlled shutdown", () => {
  it("moves all leaders away and takes the node out of the ISRs that can do without it", async () => {
    const topicId = await createTopic(30);
    const { remaining, revision } = await coordinator.client.moveLeadersAway(instance(1));
    expect(remaining).toBe(0);
    await cluster.view.waitForRevision(Number(revision));
    for (const { leader, isr, eligibleReplicas } of cluster.view.partitionsOf(topicId)) {
      expect(leader).not.toBe(1);
      expect(isr).toHaveLength(2);
      expect(isr).not.toContain(1);
      expect(eligibleReplicas).toEqual([]);
    }
  });

  it("says how many partitions nobody else can lead, and leaves small ISRs alone", async () => {
    const topicId = await createTopic(3, 3);
    const alone = await coordinator.client.createTopic(newTopic("alone", { partitions: 3 }));
    await cluster.settle();
    expect(await coordinator.client.moveLeadersAway(instance(1))).toMatchObject({ remaining: 1 });
    await cluster.settle();
    for (const { leader, isr } of cluster.view.partitionsOf(topicId)) {
      expect(leader).not.toBe(1);
      expect(isr).toHaveLength(3);
    }
    expect([...cluster.view.partitionsOf(alone.topicId)].map(({ leader }) => leader)).toContain(1);
  });

  it("keeps the node from being elected until it registers again, or takes too long", async () => {
    const topicId = await createTopic(1, 1);
    const { leader, replicas } = state(topicId);
    const [leaving = 0] = replicas.filter((nodeId) => nodeId !== leader);
    await propose(topicId, [leader, leaving]);
    await coordinator.client.moveLeadersAway(instance(leader));
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: leaving, isr: [leaving] });
    await coordinator.client.moveLeadersAway(instance(leaving));
    const resigned = { topicId, partition: 0, what: { case: "resignedLeaderEpoch", value: 1 } } as const;
    await coordinator.client.reportReplicas({ ...instance(leaving), reports: [resigned] });
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: -1, isr: [leaving] });
    await cluster.clock.advance(60_000);
    await cluster.settle();
    expect(state(topicId)).toMatchObject({ leader: leaving });
  });

  it("of a former registration is refused", async () => {
    await expect(coordinator.client.moveLeadersAway(instance(1, 1))).rejects.toMatchObject({
      code: "STALE_BROKER_EPOCH",
    });
  });
});
