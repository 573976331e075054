import { Api } from "../codec/api.ts";
import { array, int16, int32, string } from "../codec/field.ts";

export const deleteGroups = new Api({
  key: 42,
  name: "DeleteGroups",
  versions: "0-2",
  flexibleFrom: 2,
  request: {
    groupsNames: array(string),
  },
  response: {
    throttleTimeMs: int32,
    results: array({
      groupId: string,
      errorCode: int16,
    }),
  },
});
