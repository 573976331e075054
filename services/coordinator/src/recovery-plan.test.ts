import type { ClusterPartition } from "@ottla/metadata";
import { describe, expect, it } from "vitest";
import { type NodeReport, planPartitions, type ReportedLog } from "./recovery-plan.ts";

function partition(change: Partial<ClusterPartition> = {}): ClusterPartition {
  return {
    topicId: "t",
    partition: 0,
    leader: 1,
    leaderNodeEpoch: 10,
    leaderEpoch: 5,
    partitionEpoch: 9,
    replicas: [1, 2, 3],
    isr: [1, 2, 3],
    eligibleReplicas: [],
    lastKnownLeader: -1,
    minInsyncReplicas: 2,
    modRevision: 1,
    ...change,
  };
}

function log(lastEpoch: number, logEndOffset: number, change: Partial<ReportedLog> = {}): ReportedLog {
  return {
    topicId: "t",
    partition: 0,
    lastEpoch,
    logEndOffset,
    highestLeaderEpoch: lastEpoch,
    highestPartitionEpoch: -1,
    ownerEpoch: -1,
    highestProducerId: -1,
    damaged: false,
    problem: undefined,
    ...change,
  };
}

function report(nodeId: number, ...logs: ReportedLog[]): NodeReport {
  return { nodeId, directoryId: `d${nodeId}`, nodeEpoch: -1, generation: 0, revision: 100, logs };
}

function planOne(before: ClusterPartition, reports: NodeReport[], without: number[] = []) {
  const [planned] = planPartitions([before], reports, without).partitions;
  if (planned === undefined) throw new Error("nothing is planned");
  return planned;
}

describe("a recovery from a restored backup", () => {
  it("takes the logs with the latest epoch, and of these the longest, whatever the ISR was", () => {
    const { after, note } = planOne(partition({ isr: [1] }), [
      report(1, log(5, 100)),
      report(2, log(7, 80)),
      report(3, log(7, 90)),
    ]);
    expect(after).toMatchObject({ leader: -1, isr: [3], replicas: [1, 2, 3], eligibleReplicas: [] });
    expect(note).toBeUndefined();
  });

  it("puts all that have the same into the ISR, so that one of them leads at once", () => {
    const logs = [report(1, log(7, 90)), report(2, log(6, 95)), report(3, log(7, 90))];
    expect(planOne(partition(), logs).after.isr).toEqual([1, 3]);
  });

  it("raises all epochs beyond those that were seen, with records or without", () => {
    const logs = [
      report(1, log(7, 90, { highestLeaderEpoch: 12, highestPartitionEpoch: 40 })),
      report(2, log(7, 90)),
    ];
    const { after } = planOne(partition(), logs, [3]);
    expect(after.leaderEpoch).toBeGreaterThan(12);
    expect(after.partitionEpoch).toBeGreaterThan(40);
    const old = planOne(partition({ leaderEpoch: 50, partitionEpoch: 60 }), logs, [3]).after;
    expect(old.leaderEpoch).toBeGreaterThan(50);
    expect(old.partitionEpoch).toBeGreaterThan(60);
  });

  it("keeps replicas where they were moved after the backup", () => {
    const logs = [report(1), report(2), report(3, log(7, 10)), report(4, log(7, 90)), report(5, log(7, 90))];
    expect(planOne(partition(), logs).after).toMatchObject({ replicas: [3, 4, 5], isr: [4, 5] });
    const moving = partition({ replicas: [1, 2, 3, 4], addingReplicas: [4], removingReplicas: [1] });
    const after = planOne(moving, [report(2, log(7, 9)), report(3, log(7, 9)), report(4, log(7, 9))]).after;
    expect(after).toMatchObject({ replicas: [2, 3, 4], isr: [2, 3, 4] });
    expect(after.addingReplicas).toBeUndefined();
    expect(after.removingReplicas).toBeUndefined();
  });

  it("elects no damaged log (R12), unless it is the only replica there is", () => {
    const damaged = log(7, 90, { damaged: true });
    expect(planOne(partition(), [report(1, damaged), report(2, log(7, 80))]).after.isr).toEqual([2]);
    const none = planOne(partition(), [report(1, damaged), report(2, damaged)]);
    expect(none.after.isr).toEqual([]);
    expect(none.note).toContain("none of its logs can lead");
    const alone = partition({ replicas: [1], isr: [1], minInsyncReplicas: 1 });
    expect(planOne(alone, [report(1, damaged)]).after.isr).toEqual([1]);
  });

  it("says of a log that cannot be opened that it cannot", () => {
    const broken = log(-1, 0, { problem: "the disk is broken" });
    const { after, note } = planOne(partition(), [report(1, broken), report(2, log(7, 80))]);
    expect(after.isr).toEqual([2]);
    expect(note).toBe("its log on storage node 1 cannot be opened");
  });

  it("says what may be lost when as many nodes are left out as acknowledge a record", () => {
    expect(planOne(partition(), [report(1, log(5, 9)), report(2, log(5, 9))], [3]).note).toBeUndefined();
    const { after, note } = planOne(partition(), [report(1, log(5, 9))], [2, 3]);
    expect(note).toBe("acknowledged records that only storage nodes 2, 3 had are lost");
    expect(after.replicas).toEqual([1, 2, 3]);
  });

  it("waits for nodes that were left out where nobody else has a replica", () => {
    const alone = partition({ replicas: [3], isr: [3], minInsyncReplicas: 1 });
    const { after, note } = planOne(alone, [report(1), report(2)], [3]);
    expect(after).toMatchObject({ leader: -1, isr: [3], replicas: [3] });
    expect(note).toContain("it waits for storage node 3");
  });

  it("lets a partition that nobody has any more come back empty, and says so", () => {
    const { after, note } = planOne(partition(), [report(1), report(2), report(3)]);
    expect(after).toMatchObject({ isr: [1, 2, 3], replicas: [1, 2, 3] });
    expect(note).toContain("comes back empty");
  });

  it("names the partitions that the backup does not know", () => {
    const young = log(1, 7, { topicId: "young" });
    const reports = [report(2, young), report(1, log(1, 9, { topicId: "young" }))];
    const { unknown } = planPartitions([], reports, []);
    expect(unknown).toEqual([{ topicId: "young", partition: 0, nodeIds: [1, 2], logEndOffset: 9 }]);
  });
});
