import { Api } from "../codec/api.ts";
import { array, int8, int16, int32, int64, string } from "../codec/field.ts";

export const listOffsets = new Api({
  key: 2,
  name: "ListOffsets",
  versions: "1-10",
  flexibleFrom: 6,
  request: {
    replicaId: int32,
    isolationLevel: int8.versions("2+"),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        currentLeaderEpoch: int32.versions("4+").default(-1),
        timestamp: int64,
      }),
    }),
    timeoutMs: int32.versions("10+"),
  },
  response: {
    throttleTimeMs: int32.versions("2+"),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        errorCode: int16,
        timestamp: int64.default(-1),
        offset: int64.default(-1),
        leaderEpoch: int32.versions("4+").default(-1),
      }),
    }),
  },
});
