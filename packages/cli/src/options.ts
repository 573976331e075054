import type { Command } from "commander";
import type { CliEnvironment } from "./environment.ts";
import { usageError } from "./exit-codes.ts";

export const DEFAULT_ADDRESS = "localhost:50051";

const OUTPUT_FORMATS = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface ConnectionFlags {
  readonly address?: string;
}

export interface OutputFlags extends ConnectionFlags {
  readonly output?: string;
}

export function withAddress(command: Command): Command {
  return command.option(
    "--address <host:port>",
    `any gateway, or several: a:1,b:2 (environment: OTTLA_ADDRESS; default ${DEFAULT_ADDRESS})`,
  );
}

export function withOutput(command: Command): Command {
  return withAddress(command).option(
    "--output <format>",
    "table, json or yaml (environment: OTTLA_OUTPUT; default table)",
  );
}

export function addressOf(flags: ConnectionFlags, environment: CliEnvironment): string {
  const { value, source } = setting(flags.address, "--address", "OTTLA_ADDRESS", environment);
  if (value === undefined) return DEFAULT_ADDRESS;
  const addresses = value.split(",").map((each) => each.trim());
  for (const address of addresses) checkAddress(address, source);
  return addresses.join(",");
}

function checkAddress(address: string, source: string): void {
  const [, port] = /^(?:\[[\d.:a-z%]+\]|[^\s:/@[\]]+):(\d{1,5})$/i.exec(address) ?? [];
  if (port === undefined) {
    throw usageError(
      `${source}: must be host:port, such as ${DEFAULT_ADDRESS}, or several with commas between`,
    );
  }
  if (Number(port) < 1 || Number(port) > 65_535) {
    throw usageError(`${source}: the port must be from 1 to 65535, not ${port}`);
  }
}

export function outputFormat(flags: { readonly output?: string }, environment: CliEnvironment): OutputFormat {
  const { value, source } = setting(flags.output, "--output", "OTTLA_OUTPUT", environment);
  const found = OUTPUT_FORMATS.find((each) => each === (value ?? "table"));
  if (found === undefined) throw usageError(`${source}: must be one of ${OUTPUT_FORMATS.join(", ")}`);
  return found;
}

/**
 * An option's value, else its environment variable's, with the words to blame it by. A variable that is empty
 * counts as not set, as everywhere.
 */
function setting(
  flag: string | undefined,
  option: string,
  variable: string,
  { env }: CliEnvironment,
): { value: string | undefined; source: string } {
  if (flag !== undefined) return { value: flag, source: `${option} ${flag}` };
  const value = env[variable] === "" ? undefined : env[variable];
  return { value, source: `${variable}=${value ?? ""}` };
}

export function choice<const T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw usageError(`${option} ${value}: must be one of ${allowed.join(", ")}`);
  return found;
}

/** `name=value` pairs of a repeatable option. */
export function pairs(option: string, texts: readonly string[] = []): [string, string][] {
  return texts.map((text) => {
    const at = text.indexOf("=");
    if (at <= 0) throw usageError(`${option} ${text}: must be name=value`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
}

/** Collects the values of an option that may be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
