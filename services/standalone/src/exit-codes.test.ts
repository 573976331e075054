import { readFileSync } from "node:fs";
import { ProcessExit } from "@ottla/runtime";
import { expect, test } from "vitest";
import { ServeExit } from "./main.ts";

test("every exit code of `ottla serve` is in the table of docs/cli.md, which is that of --help", () => {
  const page = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");
  const codes = [...Object.values(ServeExit), ...Object.values(ProcessExit)];
  for (const code of codes) expect(page).toContain(`\n| ${code} | `);
});
