import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { treeRoot } from "../support/ottla-server.ts";
import { inContinuousIntegration } from "../support/tools.ts";

const commit = (await readFile(join(import.meta.dirname, "previous-version"), "utf8")).trim();

/** The `ottla` of the previous version, as `setup.sh` builds it. */
export const oldCommand = join(treeRoot, ".cache/previous", commit, "bin/ottla");

/** Whether it is there; in continuous integration it must be, elsewhere the caller's tests are left out. */
export function havePreviousVersion(): boolean {
  if (existsSync(oldCommand)) return true;
  const reason = `the previous version is not built: sh tests/upgrade/setup.sh (commit ${commit})`;
  if (inContinuousIntegration) throw new Error(reason);
  process.stderr.write(`skipped: ${reason}\n`);
  return false;
}
