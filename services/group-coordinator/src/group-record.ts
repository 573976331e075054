import { OttlaError } from "@ottla/errors";
import {
  consumerGroupCurrentMemberValue,
  consumerGroupKey,
  consumerGroupMemberMetadataValue,
  consumerGroupMetadataValue,
  consumerGroupRegexValue,
  consumerGroupTargetMemberValue,
  consumerGroupTargetMetadataValue,
  consumerMemberKey,
  consumerRegexKey,
  GroupRecordType,
  groupMetadataKey,
  groupMetadataValue,
  type MessageGivenOf,
  type MessageOf,
  offsetKey,
  offsetValue,
} from "@ottla/kafka-protocol";

export type OffsetValue = MessageOf<typeof offsetValue>;
export type GroupMetadataValue = MessageOf<typeof groupMetadataValue>;
export type ConsumerMemberValue = MessageOf<typeof consumerGroupMemberMetadataValue>;
export type ConsumerCurrentValue = MessageOf<typeof consumerGroupCurrentMemberValue>;

interface OfGroup {
  readonly groupId: string;
}

interface OfMember extends OfGroup {
  readonly memberId: string;
}

interface OfPartition extends OfGroup {
  readonly topic: string;
  readonly partition: number;
}

/** The records of groups of the consumer protocol (KIP-848); a null value takes back what the key said. */
export type ConsumerRecord =
  | (OfGroup & {
      readonly kind: "consumer-group";
      readonly value: MessageOf<typeof consumerGroupMetadataValue> | null;
    })
  | (OfMember & { readonly kind: "consumer-member"; readonly value: ConsumerMemberValue | null })
  | (OfGroup & {
      readonly kind: "consumer-target";
      readonly value: MessageOf<typeof consumerGroupTargetMetadataValue> | null;
    })
  | (OfMember & {
      readonly kind: "consumer-target-member";
      readonly value: MessageOf<typeof consumerGroupTargetMemberValue> | null;
    })
  | (OfMember & { readonly kind: "consumer-current"; readonly value: ConsumerCurrentValue | null })
  | (OfGroup & {
      readonly kind: "consumer-regex";
      readonly regularExpression: string;
      readonly value: MessageOf<typeof consumerGroupRegexValue> | null;
    });

/** One change of a group's state, to be written. */
export type GroupRecord =
  | (OfPartition & { readonly kind: "offset"; readonly value: MessageGivenOf<typeof offsetValue> | null })
  | (OfGroup & { readonly kind: "group"; readonly value: MessageGivenOf<typeof groupMetadataValue> | null })
  | ConsumerRecord;

/** The same as it is read back. */
export type ReadRecord =
  | (OfPartition & { readonly kind: "offset"; readonly value: OffsetValue | null })
  | (OfGroup & { readonly kind: "group"; readonly value: GroupMetadataValue | null })
  | ConsumerRecord;

export interface EncodedRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/**
 * The versions of Kafka's schemas in which records are written; changed only under a feature level and
 * together with a golden directory (tests/golden).
 */
export const GROUP_RECORD_FORMATS = {
  /** Of keys, and of the values of the consumer protocol. */
  keys: 0,
  group: 3,
  /** The oldest that holds a leader epoch; 4 holds the topic's id too, and 1 alone an end of its own. */
  offset: 3,
  offsetWithTopicId: 4,
  offsetWithExpiry: 1,
} as const;
const VERSION = GROUP_RECORD_FORMATS.keys;

/** Kafka's own form of the record: its tools read our topic, and we read theirs. */
export function encodeGroupRecord(record: GroupRecord): EncodedRecord {
  switch (record.kind) {
    case "offset": {
      const { value } = record;
      const key = offsetKey.encode(VERSION, record, GroupRecordType.OFFSET);
      return { key, value: value && offsetValue.encode(offsetVersion(value), value) };
    }
    case "group": {
      const key = groupMetadataKey.encode(VERSION, record, GroupRecordType.GROUP);
      return {
        key,
        value: record.value && groupMetadataValue.encode(GROUP_RECORD_FORMATS.group, record.value),
      };
    }
    default:
      return encodeConsumerRecord(record);
  }
}

function encodeConsumerRecord(record: ConsumerRecord): EncodedRecord {
  switch (record.kind) {
    case "consumer-group": {
      const key = consumerGroupKey.encode(VERSION, record, GroupRecordType.CONSUMER_GROUP);
      return { key, value: record.value && consumerGroupMetadataValue.encode(VERSION, record.value) };
    }
    case "consumer-member": {
      const key = consumerMemberKey.encode(VERSION, record, GroupRecordType.CONSUMER_MEMBER);
      return { key, value: record.value && consumerGroupMemberMetadataValue.encode(VERSION, record.value) };
    }
    case "consumer-target": {
      const key = consumerGroupKey.encode(VERSION, record, GroupRecordType.CONSUMER_TARGET);
      return { key, value: record.value && consumerGroupTargetMetadataValue.encode(VERSION, record.value) };
    }
    case "consumer-target-member": {
      const key = consumerMemberKey.encode(VERSION, record, GroupRecordType.CONSUMER_TARGET_MEMBER);
      return { key, value: record.value && consumerGroupTargetMemberValue.encode(VERSION, record.value) };
    }
    case "consumer-current": {
      const key = consumerMemberKey.encode(VERSION, record, GroupRecordType.CONSUMER_CURRENT);
      return { key, value: record.value && consumerGroupCurrentMemberValue.encode(VERSION, record.value) };
    }
    case "consumer-regex": {
      const key = consumerRegexKey.encode(VERSION, record, GroupRecordType.CONSUMER_REGEX);
      return { key, value: record.value && consumerGroupRegexValue.encode(VERSION, record.value) };
    }
    default:
      return record satisfies never;
  }
}

function offsetVersion({ expireTimestamp = -1, topicId }: MessageGivenOf<typeof offsetValue>): number {
  if (expireTimestamp >= 0) return GROUP_RECORD_FORMATS.offsetWithExpiry;
  return topicId === undefined ? GROUP_RECORD_FORMATS.offset : GROUP_RECORD_FORMATS.offsetWithTopicId;
}

/** Undefined for a kind that this version does not know; throws INVALID_RECORD where the bytes are none. */
export function decodeGroupRecord(key: Uint8Array | null, value: Uint8Array | null): ReadRecord | undefined {
  if (key === null || key.length < 2) throw new OttlaError("INVALID_RECORD", "a group's record has no key");
  const type = ((key[0] ?? 0) << 8) | (key[1] ?? 0);
  switch (type) {
    case GroupRecordType.LEGACY_OFFSET:
    case GroupRecordType.OFFSET: {
      const place = offsetKey.decodeBody(key, VERSION);
      return { kind: "offset", ...place, value: value && offsetValue.decode(value) };
    }
    case GroupRecordType.GROUP: {
      const { groupId } = groupMetadataKey.decodeBody(key, VERSION);
      return { kind: "group", groupId, value: value && copied(groupMetadataValue.decode(value)) };
    }
    default:
      return decodeConsumerRecord(type, key, value);
  }
}

function decodeConsumerRecord(
  type: number,
  key: Uint8Array,
  value: Uint8Array | null,
): ConsumerRecord | undefined {
  const ofGroup = (): OfGroup => consumerGroupKey.decodeBody(key, VERSION);
  const ofMember = (): OfMember => consumerMemberKey.decodeBody(key, VERSION);
  switch (type) {
    case GroupRecordType.CONSUMER_GROUP:
      return {
        kind: "consumer-group",
        ...ofGroup(),
        value: value && consumerGroupMetadataValue.decode(value),
      };
    case GroupRecordType.CONSUMER_MEMBER: {
      const member = value && consumerGroupMemberMetadataValue.decode(value);
      return { kind: "consumer-member", ...ofMember(), value: member };
    }
    case GroupRecordType.CONSUMER_TARGET: {
      const target = value && consumerGroupTargetMetadataValue.decode(value);
      return { kind: "consumer-target", ...ofGroup(), value: target };
    }
    case GroupRecordType.CONSUMER_TARGET_MEMBER: {
      const target = value && consumerGroupTargetMemberValue.decode(value);
      return { kind: "consumer-target-member", ...ofMember(), value: target };
    }
    case GroupRecordType.CONSUMER_CURRENT: {
      const current = value && consumerGroupCurrentMemberValue.decode(value);
      return { kind: "consumer-current", ...ofMember(), value: current };
    }
    case GroupRecordType.CONSUMER_REGEX: {
      const regex = consumerRegexKey.decodeBody(key, VERSION);
      return { kind: "consumer-regex", ...regex, value: value && consumerGroupRegexValue.decode(value) };
    }
    default:
      return undefined;
  }
}

/** Decoded bytes are views of the batch, which must not stay in memory for their sake. */
function copied(value: GroupMetadataValue): GroupMetadataValue {
  for (const member of value.members) {
    member.subscription = Uint8Array.from(member.subscription);
    member.assignment = Uint8Array.from(member.assignment);
  }
  return value;
}
