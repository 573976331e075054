import { Api } from "../codec/api.ts";
import { array, bool, int8, int16, int32, string } from "../codec/field.ts";

export const describeCluster = new Api({
  key: 60,
  name: "DescribeCluster",
  versions: "0-2",
  flexibleFrom: 0,
  request: {
    includeClusterAuthorizedOperations: bool,
    endpointType: int8.versions("1+").default(1),
    includeFencedBrokers: bool.versions("2+"),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    errorMessage: string.nullable("0+").default(null),
    endpointType: int8.versions("1+").default(1),
    clusterId: string,
    controllerId: int32.default(-1),
    brokers: array({
      brokerId: int32,
      host: string,
      port: int32,
      rack: string.nullable("0+").default(null),
      isFenced: bool.versions("2+"),
    }),
    clusterAuthorizedOperations: int32.default(-2147483648),
  },
});
