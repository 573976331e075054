import { OttlaError } from "@ottla/errors";

/** What the command ends with. Documented in `--help` and in docs/cli.md. */
export const ExitCode = {
  ok: 0,
  /** The server refused, a record was not acknowledged, or the input is wrong. */
  failed: 1,
  /** The command line is wrong. */
  usage: 64,
  /** No server answers at the address. */
  unreachable: 69,
  /** `serve`: an error that nobody caught. */
  fault: 70,
  /** `serve`: the data directory is not one, or of another version or cluster. */
  cannotCreate: 73,
  /** `serve`: the data directory was removed or replaced while the node ran. */
  lostDirectory: 74,
  /** `serve`: the data directory is in use by another process. */
  temporary: 75,
  /** `serve`: a setting is unknown or wrong, also as a flag. */
  config: 78,
  /** Ctrl-C. What was acknowledged until then is reported. */
  interrupted: 130,
} as const;

/** The one table of exit codes, for help and documentation; `serve` is in services/standalone. */
export const EXIT_CODE_MEANINGS: readonly (readonly [number, string])[] = [
  [ExitCode.ok, "done"],
  [
    ExitCode.failed,
    "refused by the server, not acknowledged, wrong input, or damage found; serve: did not stop cleanly",
  ],
  [ExitCode.usage, "wrong usage"],
  [ExitCode.unreachable, "no server answers at the address; serve: cannot start, such as a port in use"],
  [ExitCode.fault, "serve: an error that nobody caught"],
  [ExitCode.cannotCreate, "serve: the data directory cannot be used"],
  [ExitCode.lostDirectory, "serve: the data directory was removed or replaced while the node ran"],
  [ExitCode.temporary, "serve: the data directory is in use by another process"],
  [ExitCode.config, "serve: a setting is unknown or wrong, in a flag, a variable or the file"],
  [ExitCode.interrupted, "interrupted with Ctrl-C"],
];

/** A problem to be shown to the person at the terminal as it is, with the exit code to end with. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: number;

  constructor(exitCode: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
  }
}

export function usageError(message: string): CliError {
  return new CliError(ExitCode.usage, message);
}

/** The line for a person, and the exit code, of whatever was thrown. */
export function describeFailure(thrown: unknown): { message: string; exitCode: number } {
  if (thrown instanceof CliError) return { message: thrown.message, exitCode: thrown.exitCode };
  if (thrown instanceof OttlaError) {
    return { message: `${thrown.message} (${thrown.code})`, exitCode: ExitCode.failed };
  }
  const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return { message, exitCode: ExitCode.failed };
}
