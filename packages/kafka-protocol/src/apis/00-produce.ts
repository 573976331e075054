import { Api } from "../codec/api.ts";
import { array, int16, int32, int64, records, string, struct } from "../codec/field.ts";

export const produce = new Api({
  key: 0,
  name: "Produce",
  versions: "3-12",
  flexibleFrom: 9,
  request: {
    transactionalId: string.nullable("3+").default(null),
    acks: int16,
    timeoutMs: int32,
    topicData: array({
      name: string,
      partitionData: array({
        index: int32,
        records: records.nullable("0+"),
      }),
    }),
  },
  response: {
    responses: array({
      name: string,
      partitionResponses: array({
        index: int32,
        errorCode: int16,
        baseOffset: int64,
        logAppendTimeMs: int64.default(-1),
        logStartOffset: int64.versions("5+").default(-1),
        recordErrors: array({
          batchIndex: int32,
          batchIndexErrorMessage: string.nullable("8+").default(null),
        }).versions("8+"),
        errorMessage: string.versions("8+").nullable("8+").default(null),
        currentLeader: struct({
          leaderId: int32.default(-1),
          leaderEpoch: int32.default(-1),
        })
          .versions("10+")
          .tagged(0, "10+"),
      }),
    }),
    throttleTimeMs: int32.default(0),
    nodeEndpoints: array({
      nodeId: int32,
      host: string,
      port: int32,
      rack: string.nullable("10+").default(null),
    })
      .versions("10+")
      .tagged(0, "10+"),
  },
});
