import { Api } from "../codec/api.ts";
import { array, int8, int16, int32, string } from "../codec/field.ts";

export const listConfigResources = new Api({
  key: 74,
  name: "ListConfigResources",
  versions: "0-1",
  flexibleFrom: 0,
  request: {
    resourceTypes: array(int8).versions("1+"),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    configResources: array({
      resourceName: string,
      resourceType: int8.versions("1+").default(16),
    }),
  },
});
