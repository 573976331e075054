import { Api } from "../codec/api.ts";
import { array, bool, bytes, int16, int32, string } from "../codec/field.ts";

export const joinGroup = new Api({
  key: 11,
  name: "JoinGroup",
  versions: "0-9",
  flexibleFrom: 6,
  request: {
    groupId: string,
    sessionTimeoutMs: int32,
    rebalanceTimeoutMs: int32.versions("1+").default(-1),
    memberId: string,
    groupInstanceId: string.versions("5+").nullable("5+").default(null),
    protocolType: string,
    protocols: array({
      name: string,
      metadata: bytes,
    }),
    reason: string.versions("8+").nullable("8+").default(null),
  },
  response: {
    throttleTimeMs: int32.versions("2+"),
    errorCode: int16,
    generationId: int32.default(-1),
    protocolType: string.versions("7+").nullable("7+").default(null),
    protocolName: string.nullable("7+"),
    leader: string,
    skipAssignment: bool.versions("9+").default(false),
    memberId: string,
    members: array({
      memberId: string,
      groupInstanceId: string.versions("5+").nullable("5+").default(null),
      metadata: bytes,
    }),
  },
});
