import { Api } from "../codec/api.ts";
import { array, bool, int8, int16, int32, string } from "../codec/field.ts";

export const incrementalAlterConfigs = new Api({
  key: 44,
  name: "IncrementalAlterConfigs",
  versions: "0-1",
  flexibleFrom: 1,
  request: {
    resources: array({
      resourceType: int8,
      resourceName: string,
      configs: array({
        name: string,
        configOperation: int8,
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
