import { expect, test } from "vitest";
import { formatBytes, formatCount, parseBytes, parseCount, plural } from "./units.ts";

test("sizes in both kinds of units", () => {
  expect(parseBytes("-s", "1024")).toBe(1024);
  expect(parseBytes("-s", "64KiB")).toBe(65_536);
  expect(parseBytes("-s", "10gb")).toBe(1e10);
  expect(() => parseBytes("-s", "ten")).toThrow("-s ten");
  expect(() => parseBytes("-s", "1parsec")).toThrow("bytes");
});

test("counts may have underscores, and a smallest value", () => {
  expect(parseCount("-n", "10_000")).toBe(10_000);
  expect(() => parseCount("-n", "0", 1)).toThrow("from 1");
  expect(() => parseCount("-n", "-5")).toThrow("-n -5");
});

test("one is not many", () => {
  expect([0, 1, 1000].map((count) => plural(count, "record"))).toEqual([
    "0 records",
    "1 record",
    "1,000 records",
  ]);
});

test("figures for people", () => {
  expect(formatCount(1_234_567.8)).toBe("1,234,568");
  expect([999, 1500, 2_500_000, 3.2e9].map(formatBytes)).toEqual(["999 B", "1.5 kB", "2.5 MB", "3.20 GB"]);
});
