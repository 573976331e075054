import { Api } from "../codec/api.ts";
import { int16, int32, string } from "../codec/field.ts";

export const heartbeat = new Api({
  key: 12,
  name: "Heartbeat",
  versions: "0-4",
  flexibleFrom: 4,
  request: {
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: string.versions("3+").nullable("3+").default(null),
  },
  response: {
    throttleTimeMs: int32.versions("1+"),
    errorCode: int16,
  },
});
