import { Api } from "../codec/api.ts";
import { int16, int32, int64, string } from "../codec/field.ts";

export const initProducerId = new Api({
  key: 22,
  name: "InitProducerId",
  versions: "0-5",
  flexibleFrom: 2,
  request: {
    transactionalId: string.nullable("0+"),
    transactionTimeoutMs: int32,
    producerId: int64.versions("3+").default(-1),
    producerEpoch: int16.versions("3+").default(-1),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    producerId: int64.default(-1),
    producerEpoch: int16,
  },
});
