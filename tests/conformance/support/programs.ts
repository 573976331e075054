import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { treeRoot } from "../../support/ottla-server.ts";
import { inContinuousIntegration } from "../../support/tools.ts";

const cache = join(treeRoot, ".cache/conformance");

export const pythonProgram = join(cache, "python/bin/python");
export const goChecks = join(cache, "go/franz-go-checks");
export const javaClassPath = `${join(cache, "classes")}:${join(cache, "jars")}/*`;

const marks = { python: "python/.made-from", java: "classes/.made-from", go: "go/.made-from" };

/**
 * Says whether tests/conformance/setup.sh has brought these clients. In continuous
 * integration a missing one is an error; elsewhere the test that asked says what it skips.
 */
export function haveClients(kind: keyof typeof marks): boolean {
  if (existsSync(join(cache, marks[kind]))) return true;
  const advice = `the ${kind} clients are missing: run sh tests/conformance/setup.sh`;
  if (inContinuousIntegration) throw new Error(advice);
  process.stderr.write(`skipped: ${advice}\n`);
  return false;
}

export interface Outcome {
  readonly exitCode: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
}

/** Runs a program to its end, whatever its exit code. */
export async function runProgram(
  program: string,
  parameters: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(program, parameters, { stdio: "pipe", ...(options.cwd ? { cwd: options.cwd } : {}) });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  // A program that ends before it has read everything closes the pipe: its exit code says what matters.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  await once(child, "close");
  return {
    exitCode: child.exitCode,
    output: Buffer.concat(output).toString(),
    errors: Buffer.concat(errors).toString(),
  };
}

/** Runs a program that must succeed and returns what it wrote; else throws with what it said. */
export async function runChecked(
  program: string,
  parameters: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { exitCode, output, errors } = await runProgram(program, parameters, options);
  if (exitCode !== 0) {
    throw new Error(`${program} ${parameters.join(" ")} ended with ${exitCode}\n${output}\n${errors}`);
  }
  return output;
}

/** What a program that must succeed said where it did not; empty where it did. */
export async function failureOf(program: string, parameters: readonly string[]): Promise<string> {
  const { exitCode, output, errors } = await runProgram(program, parameters);
  return exitCode === 0 ? "" : `ended with ${exitCode}\n${output}\n${errors}`;
}

/** A program that runs beside the test, and the lines that it writes. */
export class RunningProgram {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = "";
  #errors = "";
  #wake: () => void = () => undefined;

  constructor(program: string, parameters: readonly string[]) {
    const child = spawn(program, parameters, { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#wake();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    this.#child = child;
    this.#closed = once(child, "close").then(() => this.#wake());
  }

  /** Waits until the program has written this text, or fails when it ends without it. */
  async untilOutput(text: string): Promise<void> {
    while (!this.#output.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`ended without "${text}": ${this.#errors}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async untilEnd(): Promise<Outcome> {
    await this.#closed;
    return { exitCode: this.#child.exitCode, output: this.#output, errors: this.#errors };
  }

  /** Makes sure that nothing is left running after a test that failed. */
  async kill(): Promise<void> {
    if (this.isRunning) this.#child.kill("SIGKILL");
    await this.#closed;
  }
}
