import { parseTopicConfig } from "@ottla/metadata";
import { encodeBatch, readBatchHeader } from "@ottla/records";
import { expect, test } from "vitest";
import { checkRecordsDeeply } from "./deep-checks.ts";

const NOW_MS = 1_700_000_000_000;
const KEYLESS = encodeBatch([{ timestampMs: NOW_MS, key: null, value: Uint8Array.of(1) }]);

test("a compacted topic takes no record without a key; other topics do", () => {
  const header = readBatchHeader(KEYLESS);
  const config = parseTopicConfig({});
  checkRecordsDeeply({ config }, KEYLESS, header, NOW_MS);
  const compacted = { config: { ...config, cleanupPolicy: ["compact"] as const } };
  expect(() => checkRecordsDeeply(compacted, KEYLESS, header, NOW_MS)).toThrow(
    expect.objectContaining({ code: "INVALID_RECORD", metadata: { recordIndexes: "0" } }),
  );
});

test("timestamps are checked record by record only where the topic sets bounds", () => {
  const header = readBatchHeader(KEYLESS);
  const later = NOW_MS + 10_000;
  checkRecordsDeeply({ config: parseTopicConfig({}) }, KEYLESS, header, later);
  const config = parseTopicConfig({ "message.timestamp.before.max.ms": "9999" });
  expect(() => checkRecordsDeeply({ config }, KEYLESS, header, later)).toThrow(
    expect.objectContaining({ code: "INVALID_TIMESTAMP" }),
  );
});
