import { Api } from "../codec/api.ts";
import { array, int16, int32, string, uuid } from "../codec/field.ts";

export const deleteTopics = new Api({
  key: 20,
  name: "DeleteTopics",
  versions: "1-6",
  flexibleFrom: 4,
  request: {
    topics: array({
      name: string.nullable("6+").default(null),
      topicId: uuid,
    }).versions("6+"),
    topicNames: array(string).versions("0-5"),
    timeoutMs: int32,
  },
  response: {
    throttleTimeMs: int32,
    responses: array({
      name: string.nullable("6+"),
      topicId: uuid.versions("6+"),
      errorCode: int16,
      errorMessage: string.versions("5+").nullable("5+").default(null),
    }),
  },
});
