import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");

test("the generated pages of docs/ are up to date: else run scripts/generate-docs.ts", () => {
  const command = ["scripts/node.sh", "scripts/generate-docs.ts", "--check"];
  const { stderr, status } = spawnSync("sh", command, { cwd: ROOT, encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
