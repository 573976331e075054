import { Api } from "../codec/api.ts";
import { array, bytes, int16, int32, string } from "../codec/field.ts";

export const syncGroup = new Api({
  key: 14,
  name: "SyncGroup",
  versions: "0-5",
  flexibleFrom: 4,
  request: {
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: string.versions("3+").nullable("3+").default(null),
    protocolType: string.versions("5+").nullable("5+").default(null),
    protocolName: string.versions("5+").nullable("5+").default(null),
    assignments: array({
      memberId: string,
      assignment: bytes,
    }),
  },
  response: {
    throttleTimeMs: int32.versions("1+"),
    errorCode: int16,
    protocolType: string.versions("5+").nullable("5+").default(null),
    protocolName: string.versions("5+").nullable("5+").default(null),
    assignment: bytes,
  },
});
