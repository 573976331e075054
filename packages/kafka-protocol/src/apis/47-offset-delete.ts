import { Api } from "../codec/api.ts";
import { array, int16, int32, string } from "../codec/field.ts";

export const offsetDelete = new Api({
  key: 47,
  name: "OffsetDelete",
  versions: "0",
  flexibleFrom: undefined,
  request: {
    groupId: string,
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
      }),
    }),
  },
  response: {
    errorCode: int16,
    throttleTimeMs: int32,
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        errorCode: int16,
      }),
    }),
  },
});
