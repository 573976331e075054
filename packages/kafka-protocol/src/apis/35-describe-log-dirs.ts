import { Api } from "../codec/api.ts";
import { array, bool, int16, int32, int64, string } from "../codec/field.ts";

export const describeLogDirs = new Api({
  key: 35,
  name: "DescribeLogDirs",
  versions: "1-4",
  flexibleFrom: 2,
  request: {
    topics: array({
      topic: string,
      partitions: array(int32),
    }).nullable("0+"),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16.versions("3+"),
    results: array({
      errorCode: int16,
      logDir: string,
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          partitionSize: int64,
          offsetLag: int64,
          isFutureKey: bool,
        }),
      }),
      totalBytes: int64.versions("4+").default(-1),
      usableBytes: int64.versions("4+").default(-1),
    }),
  },
});
