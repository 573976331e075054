import { OttlaError } from "@ottla/errors";
import {
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

/** One change of a group's state, as it stands in the log; a null value takes back what the key said. */
export type GroupRecord =
  | {
      readonly kind: "offset";
      readonly groupId: string;
      readonly topic: string;
      readonly partition: number;
      readonly value: MessageGivenOf<typeof offsetValue> | null;
    }
  | {
      readonly kind: "group";
      readonly groupId: string;
      readonly value: MessageGivenOf<typeof groupMetadataValue> | null;
    };

/** What is read back; a record of a kind that this version does not know is undefined. */
export type ReadRecord =
  | {
      readonly kind: "offset";
      readonly groupId: string;
      readonly topic: string;
      readonly partition: number;
      readonly value: OffsetValue | null;
    }
  | { readonly kind: "group"; readonly groupId: string; readonly value: GroupMetadataValue | null };

export interface EncodedRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

const KEY_VERSION = 0;
const GROUP_VERSION = 3;
/** The oldest that holds a leader epoch; 4 holds the topic's id too, and 1 alone an end of its own. */
const OFFSET_VERSION = 3;
const OFFSET_WITH_TOPIC_ID_VERSION = 4;
const OFFSET_WITH_EXPIRY_VERSION = 1;

/** Kafka's own form of the record: its tools read our topic, and we read theirs. */
export function encodeGroupRecord(record: GroupRecord): EncodedRecord {
  switch (record.kind) {
    case "offset": {
      const { groupId, topic, partition, value } = record;
      const key = offsetKey.encode(KEY_VERSION, { groupId, topic, partition }, GroupRecordType.OFFSET);
      return { key, value: value && offsetValue.encode(offsetVersion(value), value) };
    }
    case "group": {
      const { groupId, value } = record;
      const key = groupMetadataKey.encode(KEY_VERSION, { groupId }, GroupRecordType.GROUP);
      return { key, value: value && groupMetadataValue.encode(GROUP_VERSION, value) };
    }
    default:
      return record satisfies never;
  }
}

function offsetVersion({ expireTimestamp = -1, topicId }: MessageGivenOf<typeof offsetValue>): number {
  if (expireTimestamp >= 0) return OFFSET_WITH_EXPIRY_VERSION;
  return topicId === undefined ? OFFSET_VERSION : OFFSET_WITH_TOPIC_ID_VERSION;
}

/** Throws INVALID_RECORD where the bytes are none. */
export function decodeGroupRecord(key: Uint8Array | null, value: Uint8Array | null): ReadRecord | undefined {
  if (key === null || key.length < 2) throw new OttlaError("INVALID_RECORD", "a group's record has no key");
  const type = ((key[0] ?? 0) << 8) | (key[1] ?? 0);
  switch (type) {
    case GroupRecordType.LEGACY_OFFSET:
    case GroupRecordType.OFFSET: {
      const { groupId, topic, partition } = offsetKey.decodeBody(key, KEY_VERSION);
      return { kind: "offset", groupId, topic, partition, value: value && offsetValue.decode(value) };
    }
    case GroupRecordType.GROUP: {
      const { groupId } = groupMetadataKey.decodeBody(key, KEY_VERSION);
      return { kind: "group", groupId, value: value && copied(groupMetadataValue.decode(value)) };
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
