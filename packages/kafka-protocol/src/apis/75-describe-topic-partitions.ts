import { Api } from "../codec/api.ts";
import { array, bool, int16, int32, string, struct, uuid } from "../codec/field.ts";

export const describeTopicPartitions = new Api({
  key: 75,
  name: "DescribeTopicPartitions",
  versions: "0",
  flexibleFrom: 0,
  request: {
    topics: array({
      name: string,
    }),
    responsePartitionLimit: int32.default(2000),
    cursor: struct({
      topicName: string,
      partitionIndex: int32,
    })
      .nullable("0+")
      .default(null),
  },
  response: {
    throttleTimeMs: int32,
    topics: array({
      errorCode: int16,
      name: string.nullable("0+"),
      topicId: uuid,
      isInternal: bool.default(false),
      partitions: array({
        errorCode: int16,
        partitionIndex: int32,
        leaderId: int32,
        leaderEpoch: int32.default(-1),
        replicaNodes: array(int32),
        isrNodes: array(int32),
        eligibleLeaderReplicas: array(int32).nullable("0+").default(null),
        lastKnownElr: array(int32).nullable("0+").default(null),
        offlineReplicas: array(int32),
      }),
      topicAuthorizedOperations: int32.default(-2147483648),
    }),
    nextCursor: struct({
      topicName: string,
      partitionIndex: int32,
    })
      .nullable("0+")
      .default(null),
  },
});
