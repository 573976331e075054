import { expect, test } from "vitest";
import { parseStartPosition } from "./start-position.ts";

const NOW = Date.UTC(2026, 0, 31, 12);

test.each([
  ["start", { kind: "earliest" }],
  ["beginning", { kind: "earliest" }],
  ["end", { kind: "latest" }],
  ["0", { kind: "offset", offset: 0 }],
  ["1234", { kind: "offset", offset: 1234 }],
  ["-10", { kind: "before-end", count: 10 }],
  ["@1700000000000", { kind: "time", timestampMs: 1_700_000_000_000 }],
  ["@2026-01-31T11:00:00Z", { kind: "time", timestampMs: NOW - 3_600_000 }],
  ["@-15m", { kind: "time", timestampMs: NOW - 900_000 }],
  ["@-90s", { kind: "time", timestampMs: NOW - 90_000 }],
])("-o %s", (text, expected) => {
  expect(parseStartPosition(text, NOW)).toEqual(expected);
});

test.each(["", "middle", "1.5", "@", "@yesterday", "9999999999999999999"])("-o %s is refused", (text) => {
  expect(() => parseStartPosition(text, NOW)).toThrow("must be");
});
