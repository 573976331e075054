import { Api } from "../codec/api.ts";
import { array, bool, bytes, int16, int32, string } from "../codec/field.ts";

export const describeGroups = new Api({
  key: 15,
  name: "DescribeGroups",
  versions: "0-6",
  flexibleFrom: 5,
  request: {
    groups: array(string),
    includeAuthorizedOperations: bool.versions("3+"),
  },
  response: {
    throttleTimeMs: int32.versions("1+"),
    groups: array({
      errorCode: int16,
      errorMessage: string.versions("6+").nullable("6+").default(null),
      groupId: string,
      groupState: string,
      protocolType: string,
      protocolData: string,
      members: array({
        memberId: string,
        groupInstanceId: string.versions("4+").nullable("4+").default(null),
        clientId: string,
        clientHost: string,
        memberMetadata: bytes,
        memberAssignment: bytes,
      }),
      authorizedOperations: int32.versions("3+").default(-2147483648),
    }),
  },
});
