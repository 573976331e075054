import { expect, test } from "vitest";
import {
  type BadCall,
  INVALID,
  INVALID_NAME,
  LONG_NAME,
  PLACE,
  sharedNode,
  testBadCalls,
  UNKNOWN,
  unknownEnum,
} from "./serve-bad-call.ts";

const READS: BadCall[] = [
  {
    what: "fetch: negative offset",
    call: (log) => log.fetch({ ...PLACE, offset: -1n }),
    ...INVALID,
    field: "offset",
    limit: "0",
  },
  {
    what: "fetch: an offset beyond what numbers hold",
    call: (log) => log.fetch({ ...PLACE, offset: 2n ** 60n }),
    ...INVALID,
    field: "offset",
  },
  {
    what: "fetch: an offset above the log end",
    call: (log) => log.fetch({ ...PLACE, offset: 1_000n }),
    code: "OFFSET_OUT_OF_RANGE",
  },
  {
    what: "fetch: max_bytes over the limit",
    call: (log) => log.fetch({ ...PLACE, maxBytes: 40 * 1024 * 1024 }),
    ...INVALID,
    field: "max_bytes",
    limit: "33554432",
  },
  {
    what: "fetch: negative max_bytes",
    call: (log) => log.fetch({ ...PLACE, maxBytes: -1 }),
    ...INVALID,
    field: "max_bytes",
  },
  {
    what: "fetch: min_bytes over max_bytes",
    call: (log) => log.fetch({ ...PLACE, maxBytes: 10, minBytes: 11 }),
    ...INVALID,
    field: "min_bytes",
    limit: "10",
  },
  {
    what: "fetch: max_wait_ms over the limit",
    call: (log) => log.fetch({ ...PLACE, maxWaitMs: 60_001 }),
    ...INVALID,
    field: "max_wait_ms",
    limit: "60000",
  },
  {
    what: "fetch: a format that does not exist",
    call: (log) => log.fetch({ ...PLACE, format: unknownEnum(5) }),
    ...INVALID,
    field: "format",
  },
  {
    what: "fetch: unknown topic",
    call: (log) => log.fetch({ topic: "nope", partition: 0 }),
    ...UNKNOWN,
    field: "topic",
  },
  {
    what: "read: no positions",
    call: (log) => drain(log.read({})),
    ...INVALID,
    field: "positions",
    limit: "1",
  },
  {
    what: "read: too many positions",
    call: (log) => drain(log.read({ positions: Array.from({ length: 1_001 }, () => ({ ...PLACE })) })),
    ...INVALID,
    field: "positions",
    limit: "1000",
  },
  {
    what: "read: a position without a start",
    call: (log) => drain(log.read({ positions: [PLACE] })),
    ...INVALID,
    field: "positions[0].start",
  },
  {
    what: "read: a position twice",
    call: (log) => {
      const position = { ...PLACE, start: { case: "earliest" as const, value: true } };
      return drain(log.read({ positions: [position, position] }));
    },
    ...INVALID,
    field: "positions[1]",
  },
  {
    what: "read: a negative offset",
    call: (log) => drain(log.read({ positions: [{ ...PLACE, start: { case: "offset", value: -3n } }] })),
    ...INVALID,
    field: "positions[0].offset",
  },
  {
    what: "read: max_bytes over the limit",
    call: (log) => drain(log.read({ maxBytes: 9 * 1024 * 1024 })),
    ...INVALID,
    field: "max_bytes",
    limit: "8388608",
  },
  {
    what: "list offsets: no queries",
    call: (log) => log.listOffsets({}),
    ...INVALID,
    field: "queries",
    limit: "1",
  },
];

const ADMIN: BadCall[] = [
  {
    what: "create topic: the name ..",
    call: (_, admin) => admin.createTopic({ name: ".." }),
    ...INVALID_NAME,
    field: "name",
  },
  {
    what: "create topic: a name of Unicode letters",
    call: (_, admin) => admin.createTopic({ name: "tëst" }),
    ...INVALID_NAME,
    field: "name",
  },
  {
    what: "create topic: a name that is taken",
    call: (_, admin) => admin.createTopic({ name: "t" }),
    code: "TOPIC_ALREADY_EXISTS",
  },
  {
    what: "create topic: a name whose metrics collide",
    call: (_, admin) => admin.createTopic({ name: "with_dots" }),
    code: "INVALID_TOPIC_EXCEPTION",
  },
  {
    what: "create topic: too many partitions",
    call: (_, admin) => admin.createTopic({ name: "x", partitions: 10_001 }),
    ...INVALID,
    field: "partitions",
    limit: "10000",
  },
  {
    what: "create topic: negative partitions",
    call: (_, admin) => admin.createTopic({ name: "x", partitions: -1 }),
    ...INVALID,
    field: "partitions",
  },
  {
    what: "create topic: more replicas than nodes",
    call: (_, admin) => admin.createTopic({ name: "x", replicationFactor: 3 }),
    code: "INVALID_REPLICATION_FACTOR",
  },
  {
    what: "create topic: a setting that does not exist",
    call: (_, admin) => admin.createTopic({ name: "x", configs: { "retention.mss": "1" } }),
    code: "INVALID_CONFIG",
  },
  {
    what: "create topic: a setting that is not served yet",
    call: (_, admin) => admin.createTopic({ name: "x", configs: { preallocate: "true" } }),
    code: "INVALID_CONFIG",
  },
  {
    what: "create topic: a setting out of bounds",
    call: (_, admin) => admin.createTopic({ name: "x", configs: { "segment.bytes": "1" } }),
    code: "INVALID_CONFIG",
  },
  {
    what: "create topic: a value too long",
    call: (_, admin) => admin.createTopic({ name: "x", configs: { "retention.ms": "1".repeat(5_000) } }),
    ...INVALID,
    field: "configs[retention.ms]",
    limit: "4096",
  },
  {
    what: "delete topic: unknown",
    call: (_, admin) => admin.deleteTopic({ name: "nope" }),
    ...UNKNOWN,
    field: "name",
  },
  {
    what: "list topics: page too large",
    call: (_, admin) => admin.listTopics({ pageSize: 10_001 }),
    ...INVALID,
    field: "page_size",
    limit: "10000",
  },
  {
    what: "list topics: negative page",
    call: (_, admin) => admin.listTopics({ pageSize: -1 }),
    ...INVALID,
    field: "page_size",
  },
  {
    what: "list topics: a token that is too long",
    call: (_, admin) => admin.listTopics({ pageToken: LONG_NAME }),
    ...INVALID,
    field: "page_token",
  },
  {
    what: "describe topics: none",
    call: (_, admin) => admin.describeTopics({}),
    ...INVALID,
    field: "names",
  },
  {
    what: "describe topics: too many",
    call: (_, admin) => admin.describeTopics({ names: Array.from({ length: 1_001 }, (__, i) => `t${i}`) }),
    ...INVALID,
    field: "names",
    limit: "1000",
  },
  {
    what: "alter: nothing to do",
    call: (_, admin) => admin.alterTopicConfig({ name: "t" }),
    ...INVALID,
    field: "remove",
  },
  {
    what: "alter: all or none",
    call: (_, admin) =>
      admin.alterTopicConfig({ name: "t", set: { "retention.ms": "5", "retention.bytes": "x" } }),
    code: "INVALID_CONFIG",
  },
  {
    what: "create partitions: none",
    call: (_, admin) => admin.createPartitions({ name: "t" }),
    ...INVALID,
    field: "total_partitions",
    limit: "1",
  },
  {
    what: "delete records: below -1",
    call: (_, admin) => admin.deleteRecords({ ...PLACE, beforeOffset: -2n }),
    ...INVALID,
    field: "before_offset",
  },
  {
    what: "delete records: above the high watermark",
    call: (_, admin) => admin.deleteRecords({ ...PLACE, beforeOffset: 99n }),
    code: "OFFSET_OUT_OF_RANGE",
    field: "before_offset",
    limit: "0",
  },
];

async function drain(stream: { readonly received: AsyncIterable<unknown> }): Promise<number> {
  let messages = 0;
  for await (const _ of stream.received) messages += 1;
  return messages;
}

const node = sharedNode();

testBadCalls(node, [...READS, ...ADMIN]);

test("a listing answers bad queries one by one", async () => {
  const { answers } = await node().log.listOffsets({
    queries: [
      { ...PLACE, at: { case: "latest", value: true } },
      { ...PLACE },
      { topic: "t", partition: 5, at: { case: "latest", value: true } },
      { topic: "a/b", partition: 0, at: { case: "latest", value: true } },
      { ...PLACE, at: { case: "timestampMs", value: -7n } },
    ],
  });
  expect(answers.map(({ error }) => [error?.reason, error?.metadata["field"]])).toEqual([
    [undefined, undefined],
    ["INVALID_REQUEST", "queries[1].at"],
    ["UNKNOWN_TOPIC_OR_PARTITION", "queries[2].partition"],
    ["INVALID_TOPIC_EXCEPTION", "queries[3].topic"],
    ["INVALID_TIMESTAMP", "queries[4].timestamp_ms"],
  ]);
});
