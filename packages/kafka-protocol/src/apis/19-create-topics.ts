import { Api } from "../codec/api.ts";
import { array, bool, int8, int16, int32, string, uuid } from "../codec/field.ts";

export const createTopics = new Api({
  key: 19,
  name: "CreateTopics",
  versions: "2-7",
  flexibleFrom: 5,
  request: {
    topics: array({
      name: string,
      numPartitions: int32,
      replicationFactor: int16,
      assignments: array({
        partitionIndex: int32,
        brokerIds: array(int32),
      }),
      configs: array({
        name: string,
        value: string.nullable("0+"),
      }),
    }),
    timeoutMs: int32.default(60000),
    validateOnly: bool.default(false),
  },
  response: {
    throttleTimeMs: int32,
    topics: array({
      name: string,
      topicId: uuid.versions("7+"),
      errorCode: int16,
      errorMessage: string.nullable("0+"),
      topicConfigErrorCode: int16.versions("5+").tagged(0, "5+"),
      numPartitions: int32.versions("5+").default(-1),
      replicationFactor: int16.versions("5+").default(-1),
      configs: array({
        name: string,
        value: string.nullable("5+"),
        readOnly: bool,
        configSource: int8.default(-1),
        isSensitive: bool,
      })
        .versions("5+")
        .nullable("5+"),
    }),
  },
});
