import { PassThrough } from "node:stream";
import type { ConsumedRecord } from "@ottla/client";
import { expect, test } from "vitest";
import { ByteWriter } from "./byte-writer.ts";
import { compileFormat } from "./format-string.ts";
import { jsonLine } from "./json-line.ts";

const FIELDS = {
  topic: "t",
  partition: 3,
  offset: 12n,
  timestampMs: 1000,
  key: Buffer.from("k"),
  value: Buffer.from("värde"),
  headers: [
    { key: "a", value: Buffer.from("1") },
    { key: "b", value: null },
  ],
};
const RECORD = FIELDS as unknown as ConsumedRecord;

async function format(text: string, record: ConsumedRecord = RECORD): Promise<string> {
  const stream = new PassThrough();
  const out = new ByteWriter(stream);
  compileFormat(text)(record, out);
  await out.flush();
  stream.end();
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString();
}

test("every letter of the format", async () => {
  expect(await format("%t %p %o %k %s %h %T %K %S %%\\n")).toBe("t 3 12 k värde a=1,b=NULL 1000 1 6 %\n");
});

test("null is written as nothing, with length -1", async () => {
  const tombstone = { ...FIELDS, key: null, value: null } as unknown as ConsumedRecord;
  expect(await format("[%k][%s]%K,%S", tombstone)).toBe("[][]-1,-1");
});

test("an unknown letter is refused with the known ones", () => {
  expect(() => compileFormat("%q")).toThrow('"%q" in the format is not known: there are %t %p');
  expect(() => compileFormat("100%")).toThrow("not known");
});

test("JSON keeps what text cannot say as base64", () => {
  const binary = { ...FIELDS, value: Uint8Array.of(255, 0) } as unknown as ConsumedRecord;
  expect(JSON.parse(jsonLine(binary))).toEqual({
    topic: "t",
    partition: 3,
    offset: 12,
    timestamp: 1000,
    key: "k",
    valueBase64: "/wA=",
    headers: [
      { key: "a", value: "1" },
      { key: "b", value: null },
    ],
  });
});
