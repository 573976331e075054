import { assignRange } from "./range-assignor.ts";
import type { TopicPartitions } from "./topic-partitions.ts";
import { assignUniform } from "./uniform-assignor.ts";

export interface MemberToAssign {
  readonly memberId: string;
  readonly instanceId: string | null;
  /** Ids of the topics that it subscribes to and that exist. */
  readonly topicIds: ReadonlySet<string>;
  /** Its target of before: what can stay should. */
  readonly before: TopicPartitions;
}

/** How many partitions the topics have. */
export type PartitionCounts = ReadonlyMap<string, number>;

export type Assignor = (
  members: readonly MemberToAssign[],
  partitions: PartitionCounts,
) => Map<string, TopicPartitions>;

export const DEFAULT_ASSIGNOR = "uniform";

/** The server's assignors, by the names that members ask for. */
export const ASSIGNORS: ReadonlyMap<string, Assignor> = new Map([
  ["uniform", assignUniform],
  ["range", assignRange],
]);
