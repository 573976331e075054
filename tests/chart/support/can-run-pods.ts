import { spawnSync } from "node:child_process";
import { haveTools, inContinuousIntegration } from "../../support/tools.ts";

/**
 * Says whether pods can run as processes here, with these programs beside them. In continuous integration it
 * is an error when they cannot; elsewhere the test that asked says what it skips.
 */
export function canRunPods(...programs: readonly string[]): boolean {
  const mayName = spawnSync("unshare", ["--uts", "true"]).status === 0;
  if (!mayName && inContinuousIntegration) {
    throw new Error("pods need a host name of their own: run as root");
  }
  if (!mayName)
    process.stderr.write("skipped: pods need a host name of their own, which only root may give\n");
  return haveTools("unshare", ...programs) && mayName;
}
