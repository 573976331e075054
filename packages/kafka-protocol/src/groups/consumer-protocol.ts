import { array, bytes, int32, string } from "../codec/field.ts";
import { MessageSchema } from "../codec/message-schema.ts";

/** What a member of a classic "consumer" group says about itself when it joins. */
export const consumerProtocolSubscription = new MessageSchema({
  name: "ConsumerProtocolSubscription",
  versions: "0-3",
  flexibleFrom: undefined,
  fields: {
    topics: array(string),
    userData: bytes.nullable("0+").default(null),
    ownedPartitions: array({ topic: string, partitions: array(int32) }).versions("1+"),
    generationId: int32.versions("2+").default(-1),
    rackId: string.versions("3+").nullable("3+").default(null),
  },
});

/** What the leader of a classic "consumer" group assigns to a member. */
export const consumerProtocolAssignment = new MessageSchema({
  name: "ConsumerProtocolAssignment",
  versions: "0-3",
  flexibleFrom: undefined,
  fields: {
    assignedPartitions: array({ topic: string, partitions: array(int32) }),
    userData: bytes.nullable("0+").default(null),
  },
});
