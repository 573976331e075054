import type { OttlaError } from "@ottla/errors";
import type { GroupRecord } from "./group-record.ts";

/** Who commits or reads offsets. */
export interface OffsetClient {
  readonly memberId: string;
  readonly instanceId?: string | undefined;
  /** -1 for who is no member. */
  readonly generationOrEpoch: number;
}

/** The members of a group, by whichever protocol: what offsets and operators have to know of them. */
export interface GroupMembership {
  readonly type: "classic" | "consumer";
  /** Kafka's name of the state. */
  readonly state: string;
  readonly protocolType: string;
  readonly memberCount: number;
  /** No members, and nobody about to be one. */
  readonly isEmpty: boolean;
  /** Something of it is in the log. */
  readonly isStored: boolean;
  /** Throws why this client may not commit. */
  checkMayCommit(client: OffsetClient): void;
  /** Throws why this client may not read offsets. */
  checkMayFetch(client: OffsetClient): void;
  /** Whether members consume the topic; undefined where nobody can know. */
  uses(topic: string): boolean | undefined;
  /** Since when nobody uses offsets of the topic; undefined while somebody does. */
  unusedSinceMs(topic: string, committedAtMs: number): number | undefined;
  describe(): DescribedGroup;
  /** What takes it back in the log, offsets apart. */
  tombstones(): GroupRecord[];
  /** Fails who waits and ends what runs. */
  close(reason: OttlaError): void;
}

export interface DescribedGroup {
  readonly type: string;
  readonly state: string;
  readonly protocolType: string;
  readonly protocol: string;
  /** Or the group epoch. */
  readonly generation: number;
  /** Groups of the consumer protocol. */
  readonly assignmentEpoch?: number;
  readonly members: readonly DescribedMember[];
}

export interface DescribedMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  /** Classic groups. */
  readonly metadata?: Uint8Array;
  readonly assignment?: Uint8Array;
  /** Groups of the consumer protocol. */
  readonly epoch?: number;
  /** It uses the classic protocol still. */
  readonly isClassic?: boolean;
  readonly rackId?: string | undefined;
  readonly subscribedTopics?: readonly string[];
  readonly subscribedRegex?: string | undefined;
  readonly assigned?: readonly DescribedTopic[];
  readonly target?: readonly DescribedTopic[];
}

export interface DescribedTopic {
  readonly topicId: string;
  readonly topic: string;
  readonly partitions: readonly number[];
}
