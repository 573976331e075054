import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode } from "../exit-codes.ts";
import { parseCount, plural } from "../units.ts";

export interface PreStopFlags {
  readonly host: string;
  readonly port: string;
  readonly timeout: string;
}

/** Asks the node on this host to hand its leaderships on, and says what became of them. */
export async function handOn(flags: PreStopFlags, environment: CliEnvironment): Promise<number> {
  const { httpGet } = await import("@ottla/runtime");
  const port = parseCount("--port", flags.port);
  const timeoutMs = 1_000 * parseCount("--timeout", flags.timeout);
  const headers = { "ottla-prestop": "1" };
  const { status, body } = await httpGet({ host: flags.host, port, path: "/prestop", headers, timeoutMs });
  if (status !== 200) throw new CliError(ExitCode.failed, `the node refused (${status}): ${body.trim()}`);
  const { moved, left } = JSON.parse(body) as { readonly moved: number; readonly left: number };
  environment.stdout.write(`others lead ${plural(moved, "partition")} now, ${left} could not move\n`);
  return ExitCode.ok;
}
