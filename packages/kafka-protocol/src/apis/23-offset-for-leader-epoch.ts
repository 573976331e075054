import { Api } from "../codec/api.ts";
import { array, int16, int32, int64, string } from "../codec/field.ts";

export const offsetForLeaderEpoch = new Api({
  key: 23,
  name: "OffsetForLeaderEpoch",
  versions: "2-4",
  flexibleFrom: 4,
  request: {
    replicaId: int32.versions("3+").default(-2),
    topics: array({
      topic: string,
      partitions: array({
        partition: int32,
        currentLeaderEpoch: int32.default(-1),
        leaderEpoch: int32,
      }),
    }),
  },
  response: {
    throttleTimeMs: int32,
    topics: array({
      topic: string,
      partitions: array({
        errorCode: int16,
        partition: int32,
        leaderEpoch: int32.default(-1),
        endOffset: int64.default(-1),
      }),
    }),
  },
});
