import { Api } from "../codec/api.ts";
import { array, bool, int8, int16, int32, string } from "../codec/field.ts";

export const describeConfigs = new Api({
  key: 32,
  name: "DescribeConfigs",
  versions: "1-4",
  flexibleFrom: 4,
  request: {
    resources: array({
      resourceType: int8,
      resourceName: string,
      configurationKeys: array(string).nullable("0+"),
    }),
    includeSynonyms: bool.default(false),
    includeDocumentation: bool.versions("3+").default(false),
  },
  response: {
    throttleTimeMs: int32,
    results: array({
      errorCode: int16,
      errorMessage: string.nullable("0+"),
      resourceType: int8,
      resourceName: string,
      configs: array({
        name: string,
        value: string.nullable("0+"),
        readOnly: bool,
        configSource: int8.default(-1),
        isSensitive: bool,
        synonyms: array({
          name: string,
          value: string.nullable("0+"),
          source: int8,
        }),
        configType: int8.versions("3+").default(0),
        documentation: string.versions("3+").nullable("0+"),
      }),
    }),
  },
});
