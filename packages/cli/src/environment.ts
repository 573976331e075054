import type { Writable } from "node:stream";
import type { Clock, Disk } from "@ottla/runtime";

/** Where bytes come from: standard input is one. */
export type ByteSource = AsyncIterable<Uint8Array>;

/** All that the commands know of the process around them. */
export interface CliEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Opened only by the commands that read it. */
  readonly stdin: () => ByteSource;
  readonly stdinIsTerminal: boolean;
  readonly stdout: Writable;
  readonly stdoutIsTerminal: boolean;
  readonly stderr: Writable;
  readonly stderrIsTerminal: boolean;
  readonly workingDirectory: string;
  readonly clock: () => Promise<Clock>;
  readonly disk: () => Promise<Disk>;
  /** Calls the handler on each Ctrl-C or SIGTERM until the returned function is called. */
  readonly onInterrupt: (handler: () => void) => () => void;
  /** `ottla serve`: the services are not part of this package. */
  readonly serve: (argv: readonly string[]) => Promise<number>;
}
