export { cliReference } from "./cli-reference.ts";
export type { CliEnvironment } from "./environment.ts";
export { type RunCliOptions, runCli } from "./run-cli.ts";
