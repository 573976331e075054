import { join } from "node:path";
import type { TopicDescription } from "@ottla/client";
import { dumpLog, verifyLog } from "@ottla/log";
import { NodeDisk } from "@ottla/runtime";
import type { ChaosCluster } from "./chaos-cluster.ts";
import type { History } from "./history.ts";

const disk = new NodeDisk();

/**
 * Holds the files of all replicas of a stopped cluster to the history: the same records
 * at the same offsets, up to the last one that anyone was told of.
 */
export async function checkReplicas(
  cluster: ChaosCluster,
  topic: TopicDescription,
  history: History,
): Promise<number> {
  let checkedCount = 0;
  for (const { partition, replicas, inSyncReplicas } of topic.partitions) {
    for (const nodeId of replicas) {
      const node = cluster.of("partition-storage").find((candidate) => candidate.nodeId === nodeId);
      if (node === undefined) {
        history.fault(`partition ${partition} has a replica on node ${nodeId}, which there is not`);
        continue;
      }
      const directory = join(node.dataDirectory, "topics", `${topic.topicId}-${partition}`);
      const replica = `the replica of partition ${partition} on ${node.name}`;
      const isInSync = inSyncReplicas.includes(nodeId);
      checkedCount += await checkReplica({ directory, replica, partition, isInSync, history });
    }
  }
  return checkedCount;
}

interface Replica {
  readonly directory: string;
  readonly replica: string;
  readonly partition: number;
  readonly isInSync: boolean;
  readonly history: History;
}

async function checkReplica({ directory, replica, partition, isInSync, history }: Replica): Promise<number> {
  const { problems } = await verifyLog(directory, disk, { maxProblems: 5 });
  for (const { severity, file, problem } of problems)
    if (severity === "error") history.fault(`${replica}: ${file}: ${problem}`);
  const highWatermark = history.endOf(partition);
  let next = 0;
  for await (const item of dumpLog(directory, disk, { records: true })) {
    if (item.kind === "damage") history.fault(`${replica} is damaged: ${item.file}: ${item.problem}`);
    if (item.kind !== "batch") continue;
    for (const { offset, value } of item.records ?? []) {
      if (offset !== next) history.fault(`${replica} goes on with offset ${offset} and not ${next}`);
      next = offset + 1;
      if (offset >= highWatermark) continue;
      const text = Buffer.from(value ?? []).toString();
      const known = history.recordAt(partition, offset);
      if (text !== known) history.fault(`${replica} has ${text} at offset ${offset} and not ${known}`);
    }
  }
  if (isInSync && next < highWatermark)
    history.fault(`${replica} is in sync and ends at ${next}, before ${highWatermark}`);
  return next;
}
