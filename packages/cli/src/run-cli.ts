import { isatty } from "node:tty";
import type { ByteSource, CliEnvironment } from "./environment.ts";
import { describeFailure, ExitCode } from "./exit-codes.ts";
import { buildProgram } from "./program.ts";

export type RunCliOptions = Pick<CliEnvironment, "serve">;

/** Runs the command line and resolves with the exit code. Errors are one line on standard error. */
export async function runCli(argv: readonly string[], options: RunCliOptions): Promise<number> {
  const [first, ...rest] = argv;
  // The server's settings are parsed by the server.
  if (first === "serve") return options.serve(rest);
  const stdin = new StandardInput();
  const environment = processEnvironment(options, stdin);
  ignoreClosedPipe();
  try {
    return await buildProgram(environment).run(argv);
  } catch (thrown) {
    const { message, exitCode } = describeFailure(thrown);
    process.stderr.write(`ottla: ${message}\n`);
    return exitCode;
  } finally {
    stdin.close();
  }
}

/**
 * Standard input, opened when a command asks for it, and let go at the end: it would keep the process alive.
 */
class StandardInput {
  #opened = false;

  open(): ByteSource {
    this.#opened = true;
    return process.stdin;
  }

  close(): void {
    if (this.#opened) process.stdin.destroy();
  }
}

function processEnvironment({ serve }: RunCliOptions, stdin: StandardInput): CliEnvironment {
  return {
    env: process.env,
    stdin: () => stdin.open(),
    stdinIsTerminal: isatty(0),
    stdout: process.stdout,
    stdoutIsTerminal: isatty(1),
    stderr: process.stderr,
    stderrIsTerminal: isatty(2),
    workingDirectory: process.cwd(),
    clock: async () => (await import("@ottla/runtime")).systemClock,
    disk: async () => new (await import("@ottla/runtime")).NodeDisk(),
    onInterrupt,
    serve,
  };
}

function onInterrupt(handler: () => void): () => void {
  process.on("SIGINT", handler);
  process.on("SIGTERM", handler);
  return () => {
    process.off("SIGINT", handler);
    process.off("SIGTERM", handler);
  };
}

/** `ottla consume t | head` closes the pipe: that is the end of the work, not an error. */
function ignoreClosedPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(ExitCode.ok);
    process.stderr.write(`ottla: cannot write the output: ${error.message}\n`);
    process.exit(ExitCode.failed);
  });
}
