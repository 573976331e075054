import { expect, it } from "vitest";
import {
  allowsFeature,
  FEATURE_LEVELS,
  levelProblem,
  levelRangeOf,
  requireFeature,
  requireSupportedLevel,
} from "./feature-levels.ts";

it("counts levels from 1 without a gap, each with words for those who decide about it", () => {
  expect(FEATURE_LEVELS.map(({ level }) => level)).toEqual(FEATURE_LEVELS.map((_, index) => index + 1));
  for (const { since, allows } of FEATURE_LEVELS) {
    expect(since).toMatch(/^\d+\.\d+\.\d+$/);
    expect(allows).not.toBe("");
  }
});

it("takes a node that says nothing of levels for one of the first", () => {
  expect(levelRangeOf({})).toEqual({ min: 1, max: 1 });
  expect(levelRangeOf({ minFeatureLevel: 2, maxFeatureLevel: 4 })).toEqual({ min: 2, max: 4 });
});

it("allows what is new from its level on, and says how to come to it", () => {
  expect(allowsFeature(undefined, "cordonedNodes")).toBe(false);
  expect(allowsFeature(1, "cordonedNodes")).toBe(false);
  expect(allowsFeature(2, "cordonedNodes")).toBe(true);
  expect(() => requireFeature(2, "cordonedNodes", "it")).not.toThrow();
  expect(() => requireFeature(1, "cordonedNodes", "it")).toThrow(
    "it needs feature level 2, the cluster is at 1: raise it with ottla cluster upgrade",
  );
});

it("says which version to use where a program cannot work at the cluster's level", () => {
  expect(levelProblem(undefined, { min: 1, max: 1 })).toBeUndefined();
  expect(levelProblem(1, { min: 1, max: 1 })).toBeUndefined();
  expect(levelProblem(99, { min: 1, max: 2 })).toBe(
    "the cluster is at feature level 99; this program supports feature levels 1 to 2: use a newer version",
  );
  expect(levelProblem(1, { min: 3, max: 3 })).toContain(
    "level 1, which is known since version 0.1.0; this program supports feature level 3: use an older version",
  );
  expect(() => requireSupportedLevel(99)).toThrow("use a newer version");
});
