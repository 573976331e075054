import type { ProducerRecord } from "@ottla/client";
import { expect, test } from "vitest";
import { unescapeBytes } from "./escapes.ts";
import { type RecordShape, RecordSource } from "./record-source.ts";

const LINES: RecordShape = {
  topic: "t",
  format: "lines",
  keySeparator: undefined,
  headers: undefined,
  partition: undefined,
  emptyAsNull: false,
  maxRecordBytes: 1000,
};

function read(text: string, shape: Partial<RecordShape> = {}): ProducerRecord[] {
  const source = new RecordSource({ ...LINES, ...shape });
  const records = [...source.records(Buffer.from(text))];
  const last = source.end();
  return last === undefined ? records : [...records, last];
}

function texts(record: ProducerRecord): (string | null)[] {
  const text = (bytes: ProducerRecord["value"] | undefined) =>
    bytes === null || bytes === undefined ? null : Buffer.from(bytes as Uint8Array).toString();
  return [text(record.key), text(record.value)];
}

test("a key ends at the first separator; a line without one has no key", () => {
  const records = read("a:1\nb:2:3\nplain\n:empty key\n", { keySeparator: Buffer.from(":") });
  expect(records.map(texts)).toEqual([
    ["a", "1"],
    ["b", "2:3"],
    [null, "plain"],
    ["", "empty key"],
  ]);
});

test("a separator may be several bytes and written as an escape", () => {
  const [record] = read("k\t|v", { keySeparator: unescapeBytes("\\t|") });
  expect(record && texts(record)).toEqual(["k", "v"]);
});

test("-Z makes a tombstone of an empty value", () => {
  const [record] = read("k:\n", { keySeparator: Buffer.from(":"), emptyAsNull: true });
  expect(record?.value).toBeNull();
});

test("NDJSON: every field, objects as their JSON, base64, headers in both forms", () => {
  const records = read(
    [
      '{"key":"k","value":{"a":1},"headers":{"h":"1"},"partition":2,"timestamp":5,"offset":9,"topic":"x"}',
      '{"value":null}',
      "",
      '{"valueBase64":"/w==","headers":[{"key":"h","value":null}]}',
    ].join("\n"),
    { format: "ndjson" },
  );
  expect(records).toEqual([
    {
      topic: "t",
      key: "k",
      value: '{"a":1}',
      headers: [{ key: "h", value: "1" }],
      partition: 2,
      timestampMs: 5,
    },
    { topic: "t", key: null, value: null, headers: undefined, partition: undefined, timestampMs: undefined },
    {
      topic: "t",
      key: null,
      value: Buffer.from([255]),
      headers: [{ key: "h", value: null }],
      partition: undefined,
      timestampMs: undefined,
    },
  ]);
});

test.each([
  ["{", "line 1: not valid JSON"],
  ["[1]", "must be an object"],
  ['{"key":"k"}', '"value" is missing'],
  ['{"value":"v","vlaue":1}', 'unknown field "vlaue"'],
  ['{"value":"v","partition":-1}', "partition must be a whole number"],
  ['{"value":"v"}\n{"value":1,"headers":[1]}', "line 2: a header must be"],
])("NDJSON that is wrong says where and why: %s", (input, message) => {
  expect(() => read(input, { format: "ndjson" })).toThrow(message);
});

test("escapes", () => {
  expect([...unescapeBytes("a\\n\\t\\x1f\\\\é")]).toEqual([97, 10, 9, 31, 92, 195, 169]);
  expect(() => unescapeBytes("\\q")).toThrow("no escape");
});
