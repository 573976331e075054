import type { GroupJournal } from "../group-journal.ts";
import type { ConsumerRecord } from "../group-record.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerMember } from "./consumer-member.ts";
import { type TopicPartitions, toLists } from "./topic-partitions.ts";

/** The changes of one request: each is in force in memory at once, and all become durable together. */
export class ConsumerChanges {
  readonly #group: ConsumerGroup;
  readonly #records: ConsumerRecord[] = [];

  constructor(group: ConsumerGroup) {
    this.#group = group;
  }

  get records(): readonly ConsumerRecord[] {
    return this.#records;
  }

  put(record: ConsumerRecord): void {
    this.#group.apply(record);
    this.#records.push(record);
  }

  /** Resolves when they, and all changes before them, are durable: nobody is told of less. */
  store(journal: GroupJournal): Promise<void> {
    return this.#records.length === 0 ? journal.flushed() : journal.append(this.#records);
  }

  groupEpoch(epoch: number, metadataHash: number): void {
    this.put({ kind: "consumer-group", groupId: this.#group.groupId, value: { epoch, metadataHash } });
  }

  memberMetadata(member: ConsumerMember): void {
    const { memberId, instanceId, rackId, clientId, clientHost } = member;
    this.put({
      kind: "consumer-member",
      groupId: this.#group.groupId,
      memberId,
      value: {
        instanceId,
        rackId,
        clientId,
        clientHost,
        subscribedTopicNames: [...member.subscribedTopicNames],
        subscribedTopicRegex: member.subscribedTopicRegex,
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        serverAssignor: member.serverAssignor,
        classicMemberMetadata: member.classic && {
          ...member.classic,
          supportedProtocols: [...member.classic.supportedProtocols],
        },
      },
    });
  }

  current(member: ConsumerMember): void {
    this.put({
      kind: "consumer-current",
      groupId: this.#group.groupId,
      memberId: member.memberId,
      value: {
        memberEpoch: member.memberEpoch,
        previousMemberEpoch: member.previousMemberEpoch,
        state: member.state,
        assignedPartitions: withoutEpochs(member.assigned),
        partitionsPendingRevocation: withoutEpochs(member.pendingRevocation),
      },
    });
  }

  target(memberId: string, partitions: TopicPartitions): void {
    const { groupId } = this.#group;
    const value = { topicPartitions: toLists(partitions) };
    this.put({ kind: "consumer-target-member", groupId, memberId, value });
  }

  targetEpoch(assignmentEpoch: number, assignmentTimestamp: number): void {
    const { groupId } = this.#group;
    this.put({ kind: "consumer-target", groupId, value: { assignmentEpoch, assignmentTimestamp } });
  }

  regex(regularExpression: string, topics: readonly string[], version: number, timestamp: number): void {
    const value = { topics: [...topics], version, timestamp };
    this.put({ kind: "consumer-regex", groupId: this.#group.groupId, regularExpression, value });
  }

  forgetRegex(regularExpression: string): void {
    this.put({ kind: "consumer-regex", groupId: this.#group.groupId, regularExpression, value: null });
  }

  removeMember(memberId: string): void {
    const { groupId } = this.#group;
    this.put({ kind: "consumer-current", groupId, memberId, value: null });
    this.put({ kind: "consumer-target-member", groupId, memberId, value: null });
    this.put({ kind: "consumer-member", groupId, memberId, value: null });
  }
}

function withoutEpochs(partitions: TopicPartitions) {
  return toLists(partitions).map((list) => ({ ...list, assignmentEpochs: null }));
}
