import type { Command } from "commander";
import type { CliEnvironment } from "./environment.ts";
import { usageError } from "./exit-codes.ts";

export const DEFAULT_ADDRESS = "localhost:50051";

export type OutputFormat = "table" | "json" | "yaml";

export interface ConnectionFlags {
  readonly address?: string;
}

export interface OutputFlags extends ConnectionFlags {
  readonly output: string;
}

export function withAddress(command: Command): Command {
  return command.option(
    "--address <host:port>",
    `address of any gateway (environment: OTTLA_ADDRESS; default ${DEFAULT_ADDRESS})`,
  );
}

export function withOutput(command: Command): Command {
  return withAddress(command).option("--output <format>", "table, json or yaml", "table");
}

export function addressOf(flags: ConnectionFlags, environment: CliEnvironment): string {
  const address = flags.address ?? environment.env["OTTLA_ADDRESS"] ?? DEFAULT_ADDRESS;
  if (!/^.+:\d{1,5}$/.test(address)) {
    throw usageError(`--address ${address}: must be host:port, such as ${DEFAULT_ADDRESS}`);
  }
  return address;
}

export function outputFormat(flags: OutputFlags): OutputFormat {
  return choice("--output", flags.output, ["table", "json", "yaml"]);
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
