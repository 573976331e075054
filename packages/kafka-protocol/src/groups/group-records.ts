import type { Fields } from "../codec/field.ts";
import { array, bytes, int8, int32, int64, string, struct, uuid } from "../codec/field.ts";
import { MessageSchema } from "../codec/message-schema.ts";

/** The records of `__consumer_offsets`. The number in front of a key says what the record is about. */
export const GroupRecordType = {
  LEGACY_OFFSET: 0,
  OFFSET: 1,
  GROUP: 2,
  CONSUMER_GROUP: 3,
  CONSUMER_PARTITIONS: 4,
  CONSUMER_MEMBER: 5,
  CONSUMER_TARGET: 6,
  CONSUMER_TARGET_MEMBER: 7,
  CONSUMER_CURRENT: 8,
  CONSUMER_REGEX: 16,
} as const;

function key<F extends Fields>(name: string, fields: F): MessageSchema<F> {
  return new MessageSchema({ name, versions: "0", flexibleFrom: undefined, fields });
}

const groupKey = { groupId: string };
const memberKey = { groupId: string, memberId: string };
const offsetFields = { groupId: string, topic: string, partition: int32 };

export const offsetKey = key("OffsetCommitKey", offsetFields);
export const groupMetadataKey = key("GroupMetadataKey", groupKey);
/** Of all records of a KIP-848 group that are about the group as a whole. */
export const consumerGroupKey = key("ConsumerGroupKey", groupKey);
/** Of those about one member. */
export const consumerMemberKey = key("ConsumerGroupMemberKey", memberKey);
export const consumerRegexKey = key("ConsumerGroupRegularExpressionKey", {
  groupId: string,
  regularExpression: string,
});

export const offsetValue = new MessageSchema({
  name: "OffsetCommitValue",
  versions: "0-4",
  flexibleFrom: 4,
  fields: {
    offset: int64,
    leaderEpoch: int32.versions("3+").default(-1),
    metadata: string,
    commitTimestamp: int64,
    expireTimestamp: int64.versions("1").default(-1),
    topicId: uuid.versions("4+").tagged(0, "4+"),
  },
});

export const groupMetadataValue = new MessageSchema({
  name: "GroupMetadataValue",
  versions: "0-4",
  flexibleFrom: 4,
  fields: {
    protocolType: string,
    generation: int32,
    protocol: string.nullable("0+"),
    leader: string.nullable("0+"),
    currentStateTimestamp: int64.versions("2+").default(-1),
    members: array({
      memberId: string,
      groupInstanceId: string.versions("3+").nullable("3+").default(null),
      clientId: string,
      clientHost: string,
      rebalanceTimeout: int32.versions("1+").default(-1),
      sessionTimeout: int32,
      subscription: bytes,
      assignment: bytes,
    }),
  },
});

const topicPartitions = array({ topicId: uuid, partitions: array(int32) });

export const consumerGroupMetadataValue = new MessageSchema({
  name: "ConsumerGroupMetadataValue",
  versions: "0",
  flexibleFrom: 0,
  fields: { epoch: int32, metadataHash: int64.tagged(0, "0+") },
});

export const consumerGroupPartitionMetadataValue = new MessageSchema({
  name: "ConsumerGroupPartitionMetadataValue",
  versions: "0",
  flexibleFrom: 0,
  fields: {
    topics: array({
      topicId: uuid,
      topicName: string,
      numPartitions: int32,
      partitionMetadata: array({ partition: int32, racks: array(string) }),
    }),
  },
});

export const consumerGroupMemberMetadataValue = new MessageSchema({
  name: "ConsumerGroupMemberMetadataValue",
  versions: "0",
  flexibleFrom: 0,
  fields: {
    instanceId: string.nullable("0+"),
    rackId: string.nullable("0+"),
    clientId: string,
    clientHost: string,
    subscribedTopicNames: array(string),
    subscribedTopicRegex: string.nullable("0+"),
    rebalanceTimeoutMs: int32.default(-1),
    serverAssignor: string.nullable("0+"),
    classicMemberMetadata: struct({
      sessionTimeoutMs: int32,
      supportedProtocols: array({ name: string, metadata: bytes }),
    })
      .nullable("0+")
      .tagged(0, "0+")
      .default(null),
  },
});

export const consumerGroupTargetMetadataValue = new MessageSchema({
  name: "ConsumerGroupTargetAssignmentMetadataValue",
  versions: "0",
  flexibleFrom: 0,
  fields: { assignmentEpoch: int32, assignmentTimestamp: int64.tagged(0, "0+") },
});

export const consumerGroupTargetMemberValue = new MessageSchema({
  name: "ConsumerGroupTargetAssignmentMemberValue",
  versions: "0",
  flexibleFrom: 0,
  fields: { topicPartitions },
});

const epochedPartitions = array({
  topicId: uuid,
  partitions: array(int32),
  assignmentEpochs: array(int32).nullable("0+").tagged(0, "0+").default(null),
});

export const consumerGroupCurrentMemberValue = new MessageSchema({
  name: "ConsumerGroupCurrentMemberAssignmentValue",
  versions: "0",
  flexibleFrom: 0,
  fields: {
    memberEpoch: int32,
    previousMemberEpoch: int32,
    state: int8,
    assignedPartitions: epochedPartitions,
    partitionsPendingRevocation: epochedPartitions,
  },
});

export const consumerGroupRegexValue = new MessageSchema({
  name: "ConsumerGroupRegularExpressionValue",
  versions: "0",
  flexibleFrom: 0,
  fields: { topics: array(string), version: int64, timestamp: int64 },
});
