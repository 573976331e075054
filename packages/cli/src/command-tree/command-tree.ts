import type { CliEnvironment } from "../environment.ts";

/** Turns what a command does into an action that keeps its exit code. */
export type Run = <A extends unknown[]>(
  work: (...values: A) => Promise<number>,
) => (...values: A) => Promise<void>;

/** What the parts of the tree add their commands with. The code of a command is loaded only when it runs. */
export interface CommandTree {
  readonly environment: CliEnvironment;
  readonly run: Run;
}

export function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}
