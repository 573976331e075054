import type { ClusterView } from "@ottla/metadata";
import type { PartitionReplica } from "./partition-replica.ts";
import { refusal } from "./refusals.ts";

export interface WhyNotLedOptions {
  readonly view: ClusterView;
  readonly nodeId: number;
  readonly topicId: string;
  readonly partition: number;
  /** Undefined when there is none on this node. */
  readonly replica: PartitionReplica | undefined;
}

/** Why a request for a partition cannot be answered by this node; raised before anything was appended. */
export function whyNotLed({ view, nodeId, topicId, partition, replica }: WhyNotLedOptions): Error {
  if (view.goneBackTo !== undefined) {
    return refusal(
      "NOT_LEADER_OR_FOLLOWER",
      `node ${nodeId} serves nothing: the metadata store went back to an earlier state`,
    );
  }
  if (view.partition(topicId, partition) === undefined) {
    const message = `partition ${partition} of topic id ${topicId} does not exist`;
    return refusal("UNKNOWN_TOPIC_OR_PARTITION", message);
  }
  if (replica?.failure !== undefined) {
    const what = replica.log === undefined ? "has failed and is being reopened" : "cannot be led just now";
    return refusal("KAFKA_STORAGE_ERROR", `the log of ${replica.name} ${what}`);
  }
  if (replica?.shouldLead === true) {
    return refusal("NOT_LEADER_OR_FOLLOWER", `the log of ${replica.name} is not open yet`);
  }
  const name = replica?.name ?? `partition ${partition} of topic id ${topicId}`;
  return refusal("NOT_LEADER_OR_FOLLOWER", `node ${nodeId} does not lead ${name}`);
}
