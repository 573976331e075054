import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { nodeVersion, VERSION } from "./build-info.ts";

test("VERSION is the version of the tree", async () => {
  const text = await readFile(new URL("../../../package.json", import.meta.url), "utf8");
  expect(VERSION).toBe(JSON.parse(text).version);
  expect(nodeVersion()).toMatch(/^\d+\.\d+\.\d+$/);
});
