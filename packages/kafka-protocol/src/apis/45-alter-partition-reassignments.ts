import { Api } from "../codec/api.ts";
import { array, bool, int16, int32, string } from "../codec/field.ts";

export const alterPartitionReassignments = new Api({
  key: 45,
  name: "AlterPartitionReassignments",
  versions: "0-1",
  flexibleFrom: 0,
  request: {
    timeoutMs: int32.default(60000),
    allowReplicationFactorChange: bool.versions("1+").default(true),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        replicas: array(int32).nullable("0+").default(null),
      }),
    }),
  },
  response: {
    throttleTimeMs: int32,
    allowReplicationFactorChange: bool.versions("1+").default(true),
    errorCode: int16,
    errorMessage: string.nullable("0+"),
    responses: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        errorCode: int16,
        errorMessage: string.nullable("0+"),
      }),
    }),
  },
});
