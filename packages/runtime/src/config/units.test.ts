import { assert, nat, property } from "fast-check";
import { describe, expect, test } from "vitest";
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from "./units.ts";

describe("sizes", () => {
  test.each([
    ["0", 0],
    ["1024", 1024],
    ["64MiB", 64 * 2 ** 20],
    ["64 mib", 64 * 2 ** 20],
    ["64Mi", 64 * 2 ** 20],
    ["64MB", 64_000_000],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["12B", 12],
  ])("%s is read as %i bytes", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(["", "MiB", "-1", "64M", "1e3", "0.3B", "9999999999TiB", "1 2", "constructor", "1constructor"])(
    "%j is refused",
    (text) => {
      expect(parseBytes(text)).toBeUndefined();
    },
  );

  test("what is written is read back as the same number", () => {
    const sizes = nat({ max: Number.MAX_SAFE_INTEGER });
    assert(
      property(sizes, (bytes) => {
        expect(parseBytes(formatBytes(bytes))).toBe(bytes);
      }),
    );
  });
});

describe("durations", () => {
  test.each([
    ["500", 500],
    ["500ms", 500],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["2h", 7_200_000],
    ["7d", 604_800_000],
  ])("%s is read as %i ms", (text, durationMs) => {
    expect(parseDurationMs(text)).toBe(durationMs);
  });

  test.each(["s", "1w", "0.5ms", "1m30s", " ", "1".repeat(1_000_000)])("a wrong one is refused", (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });

  test("what is written is read back as the same number", () => {
    const sizes = nat({ max: Number.MAX_SAFE_INTEGER });
    assert(
      property(sizes, (durationMs) => {
        expect(parseDurationMs(formatDurationMs(durationMs))).toBe(durationMs);
      }),
    );
  });
});
