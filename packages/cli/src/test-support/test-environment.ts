import { Writable } from "node:stream";
import { NodeDisk, VirtualClock } from "@ottla/runtime";
import type { ByteSource, CliEnvironment } from "../environment.ts";

/** A process around a command that a test can see and steer: no terminal, virtual time, Ctrl-C by hand. */
export class TestEnvironment implements CliEnvironment {
  readonly env: Record<string, string | undefined>;
  readonly virtualClock = new VirtualClock();
  readonly stdin: () => ByteSource;
  readonly stdinIsTerminal = false;
  readonly stdoutIsTerminal = false;
  readonly stderrIsTerminal = false;
  readonly workingDirectory = process.cwd();
  readonly stdout: Writable;
  readonly stderr: Writable;
  out = "";
  err = "";
  readonly #handlers = new Set<() => void>();

  constructor(options: { address?: string; input?: readonly string[] } = {}) {
    this.env = { OTTLA_ADDRESS: options.address };
    this.stdin = async function* () {
      for (const chunk of options.input ?? []) yield Buffer.from(chunk);
    };
    this.stdout = sink((text) => {
      this.out += text;
    });
    this.stderr = sink((text) => {
      this.err += text;
    });
  }

  clock = async () => this.virtualClock;

  disk = async () => new NodeDisk();

  onInterrupt = (handler: () => void) => {
    this.#handlers.add(handler);
    return () => void this.#handlers.delete(handler);
  };

  serve = async () => 0;

  /** Ctrl-C. */
  interrupt(): void {
    for (const handler of this.#handlers) handler();
  }
}

function sink(write: (text: string) => void): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      write(chunk.toString());
      done();
    },
  });
}
