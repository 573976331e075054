import { expect, test } from "vitest";
import { LatencyHistogram } from "./latency-histogram.ts";

test("quantiles are right to two percent over nine orders of magnitude", () => {
  const histogram = new LatencyHistogram();
  for (let index = 1; index <= 1000; index++) histogram.add(index / 10);
  expect(histogram.quantile(0.5)).toBeGreaterThan(49);
  expect(histogram.quantile(0.5)).toBeLessThan(51.1);
  expect(histogram.quantile(0.99)).toBeGreaterThan(98.9);
  expect(histogram.quantile(1)).toBe(100);
  expect(histogram.meanMs).toBeCloseTo(50.05);
  histogram.add(1e6, 9000);
  expect(histogram.quantile(0.99)).toBe(1e6);
});

test("nothing measured is zero", () => {
  expect(new LatencyHistogram().quantile(0.99)).toBe(0);
});
