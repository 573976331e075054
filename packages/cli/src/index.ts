export { cliReference } from "./cli-reference.ts";
export type { CliEnvironment } from "./environment.ts";
export { EXIT_CODE_MEANINGS } from "./exit-codes.ts";
export { type RunCliOptions, runCli } from "./run-cli.ts";
