import { spawnSync } from "node:child_process";

/**
 * Whether continuous integration runs the tests: a missing tool then fails the test instead of skipping it.
 */
export const inContinuousIntegration = process.env["CI"] !== undefined && process.env["CI"] !== "";

/**
 * Says whether all the programs are there. In continuous integration a missing one is an
 * error; elsewhere the test that asked says what it skips.
 */
export function haveTools(...programs: readonly string[]): boolean {
  const missing = programs.filter((program) => spawnSync(program, ["--version"], { stdio: "ignore" }).error);
  if (missing.length === 0) return true;
  if (inContinuousIntegration) throw new Error(`${missing.join(" and ")} must be installed where CI is set`);
  process.stderr.write(`skipped: needs ${missing.join(" and ")}\n`);
  return false;
}
