import { Api } from "../codec/api.ts";
import { array, int16, int32, string } from "../codec/field.ts";

export const listGroups = new Api({
  key: 16,
  name: "ListGroups",
  versions: "0-5",
  flexibleFrom: 3,
  request: {
    statesFilter: array(string).versions("4+"),
    typesFilter: array(string).versions("5+"),
  },
  response: {
    throttleTimeMs: int32.versions("1+"),
    errorCode: int16,
    groups: array({
      groupId: string,
      protocolType: string,
      groupState: string.versions("4+"),
      groupType: string.versions("5+"),
    }),
  },
});
