import { Api } from "../codec/api.ts";
import { array, bool, int8, int16, int32, string } from "../codec/field.ts";

export const alterConfigs = new Api({
  key: 33,
  name: "AlterConfigs",
  versions: "0-2",
  flexibleFrom: 2,
  request: {
    resources: array({
      resourceType: int8,
      resourceName: string,
      configs: array({
        name: string,
        value: string.nullable("0+"),
      }),
    }),
    validateOnly: bool,
  },
  response: {
    throttleTimeMs: int32,
    responses: array({
      errorCode: int16,
      errorMessage: string.nullable("0+"),
      resourceType: int8,
      resourceName: string,
    }),
  },
});
