import { Api } from "../codec/api.ts";
import { array, int16, int32, string } from "../codec/field.ts";

export const listPartitionReassignments = new Api({
  key: 46,
  name: "ListPartitionReassignments",
  versions: "0",
  flexibleFrom: 0,
  request: {
    timeoutMs: int32.default(60000),
    topics: array({
      name: string,
      partitionIndexes: array(int32),
    })
      .nullable("0+")
      .default(null),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    errorMessage: string.nullable("0+"),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        replicas: array(int32),
        addingReplicas: array(int32),
        removingReplicas: array(int32),
      }),
    }),
  },
});
