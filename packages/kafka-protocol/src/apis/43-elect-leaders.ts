import { Api } from "../codec/api.ts";
import { array, int8, int16, int32, string } from "../codec/field.ts";

export const electLeaders = new Api({
  key: 43,
  name: "ElectLeaders",
  versions: "0-2",
  flexibleFrom: 2,
  request: {
    electionType: int8.versions("1+"),
    topicPartitions: array({
      topic: string,
      partitions: array(int32),
    }).nullable("0+"),
    timeoutMs: int32.default(60000),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16.versions("1+"),
    replicaElectionResults: array({
      topic: string,
      partitionResult: array({
        partitionId: int32,
        errorCode: int16,
        errorMessage: string.nullable("0+"),
      }),
    }),
  },
});
