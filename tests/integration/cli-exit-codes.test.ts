import { ProcessExit } from "@ottla/runtime";
import { expect, test } from "vitest";
import { EXIT_CODE_MEANINGS } from "../../packages/cli/src/index.ts";
import { ServeExit } from "../../services/standalone/src/main.ts";

test("every exit code of `ottla serve` is in the table that --help and docs/cli.md show", () => {
  const documented = EXIT_CODE_MEANINGS.map(([code]) => code);
  expect(documented).toEqual(
    expect.arrayContaining([...Object.values(ServeExit), ...Object.values(ProcessExit)]),
  );
});
