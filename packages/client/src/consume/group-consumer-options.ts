import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest } from "@ottla/errors";
import type { ConsumeRequestSchema, ConsumeResponse } from "@ottla/proto/ottla/v1/group";
import { oneOf, wholeNumber } from "../options.ts";
import type { TopicPartition } from "./assigned-partition.ts";

export type ConsumeInit = MessageInitShape<typeof ConsumeRequestSchema>;
export type { ConsumeResponse };

export interface GroupConsumerOptions {
  /** The group whose members share the topics. */
  readonly group: string;
  readonly topics?: readonly string[] | undefined;
  /** All topics whose whole name matches (RE2's syntax), those that come later too. */
  readonly topicPattern?: string | undefined;
  /** Where a partition starts for which the group has no offset (any more). Default "earliest". */
  readonly from?: "earliest" | "latest" | undefined;
  /**
   * "auto", the default: asking for the next record says that the one before is done with. "manual": nothing
   * is done with until `acknowledge` says so.
   */
  readonly acknowledge?: "auto" | "manual" | undefined;
  /** Bytes of records that are on their way or in work, over all partitions. Default 16 MiB. */
  readonly maxUnacknowledgedBytes?: number | undefined;
  /** How long work in hand may take when its partition goes to another member. Default 30 s. */
  readonly revocationGraceMs?: number | undefined;
  /** A member that comes back under this id within its session gets its partitions back. */
  readonly instanceId?: string | undefined;
  readonly assignor?: "uniform" | "range" | undefined;
  /** Check the CRC of every batch. Default true. */
  readonly checkCrcs?: boolean | undefined;
  readonly onAssigned?: ((partitions: readonly TopicPartition[]) => void) | undefined;
  /** `lost`: others may have the partitions already. */
  readonly onRevoked?: ((partitions: readonly TopicPartition[], lost: boolean) => void) | undefined;
}

export interface GroupConsumerSettings {
  readonly group: string;
  readonly topics: readonly string[];
  readonly topicPattern: string;
  readonly from: "earliest" | "latest";
  readonly acknowledge: "auto" | "manual";
  readonly maxUnacknowledgedBytes: number;
  readonly revocationGraceMs: number;
  readonly instanceId: string;
  readonly assignor: string;
  readonly checkCrcs: boolean;
  readonly onAssigned: (partitions: readonly TopicPartition[]) => void;
  readonly onRevoked: (partitions: readonly TopicPartition[], lost: boolean) => void;
}

const MEBIBYTE = 1024 * 1024;

export function groupConsumerSettings(options: GroupConsumerOptions): GroupConsumerSettings {
  const { group, topics = [], topicPattern = "", onAssigned, onRevoked } = options;
  if (group === "") throw invalidRequest("group", "is empty");
  if (!Array.isArray(topics)) throw invalidRequest("topics", "is not a list of topics");
  if (topics.length === 0 && topicPattern === "") throw invalidRequest("topics", "is empty");
  const bytes = { min: 1, max: 64 * MEBIBYTE };
  return {
    group,
    topics,
    topicPattern,
    from: oneOf("from", options.from, "earliest", ["earliest", "latest"] as const),
    acknowledge: oneOf("acknowledge", options.acknowledge, "auto", ["auto", "manual"] as const),
    maxUnacknowledgedBytes: wholeNumber(
      "maxUnacknowledgedBytes",
      options.maxUnacknowledgedBytes,
      16 * MEBIBYTE,
      bytes,
    ),
    revocationGraceMs: wholeNumber("revocationGraceMs", options.revocationGraceMs, 30_000, {
      min: 1,
      max: 600_000,
    }),
    instanceId: options.instanceId ?? "",
    assignor: options.assignor ?? "",
    checkCrcs: options.checkCrcs ?? true,
    onAssigned: onAssigned ?? (() => undefined),
    onRevoked: onRevoked ?? (() => undefined),
  };
}
