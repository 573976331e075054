import { Api } from "../codec/api.ts";
import { array, int8, int16, int32, int64, records, string, struct, uuid } from "../codec/field.ts";

export const fetch = new Api({
  key: 1,
  name: "Fetch",
  versions: "4-17",
  flexibleFrom: 12,
  request: {
    clusterId: string.versions("12+").nullable("12+").tagged(0, "12+").default(null),
    replicaId: int32.versions("0-14").default(-1),
    replicaState: struct({
      replicaId: int32.default(-1),
      replicaEpoch: int64.default(-1),
    })
      .versions("15+")
      .tagged(1, "15+"),
    maxWaitMs: int32,
    minBytes: int32,
    maxBytes: int32.default(2147483647),
    isolationLevel: int8.default(0),
    sessionId: int32.versions("7+").default(0),
    sessionEpoch: int32.versions("7+").default(-1),
    topics: array({
      topic: string.versions("0-12"),
      topicId: uuid.versions("13+"),
      partitions: array({
        partition: int32,
        currentLeaderEpoch: int32.versions("9+").default(-1),
        fetchOffset: int64,
        lastFetchedEpoch: int32.versions("12+").default(-1),
        logStartOffset: int64.versions("5+").default(-1),
        partitionMaxBytes: int32,
        replicaDirectoryId: uuid.versions("17+").tagged(0, "17+"),
      }),
    }),
    forgottenTopicsData: array({
      topic: string.versions("7-12"),
      topicId: uuid.versions("13+"),
      partitions: array(int32),
    }).versions("7+"),
    rackId: string.versions("11+").default(""),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16.versions("7+"),
    sessionId: int32.versions("7+").default(0),
    responses: array({
      topic: string.versions("0-12"),
      topicId: uuid.versions("13+"),
      partitions: array({
        partitionIndex: int32,
        errorCode: int16,
        highWatermark: int64,
        lastStableOffset: int64.default(-1),
        logStartOffset: int64.versions("5+").default(-1),
        divergingEpoch: struct({
          epoch: int32.default(-1),
          endOffset: int64.default(-1),
        })
          .versions("12+")
          .tagged(0, "12+"),
        currentLeader: struct({
          leaderId: int32.default(-1),
          leaderEpoch: int32.default(-1),
        })
          .versions("12+")
          .tagged(1, "12+"),
        snapshotId: struct({
          endOffset: int64.default(-1),
          epoch: int32.default(-1),
        })
          .versions("12+")
          .tagged(2, "12+"),
        abortedTransactions: array({
          producerId: int64,
          firstOffset: int64,
        }).nullable("4+"),
        preferredReadReplica: int32.versions("11+").default(-1),
        records: records.nullable("0+"),
      }),
    }),
    nodeEndpoints: array({
      nodeId: int32,
      host: string,
      port: int32,
      rack: string.nullable("16+").default(null),
    })
      .versions("16+")
      .tagged(0, "16+"),
  },
});
