import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { cliReference } from "./cli-reference.ts";

test("docs/cli.md says what the commands say: run scripts/generate-docs.ts", () => {
  const page = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
  expect(page).toBe(cliReference());
});

test("every command has a description and an example", () => {
  const sections = cliReference().split("\n## ").slice(3);
  expect(sections.length).toBeGreaterThan(12);
  for (const section of sections) expect(section).toContain("Examples:\n  ");
});
