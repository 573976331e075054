import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePorts } from "./free-ports.ts";

export const treeRoot = resolve(import.meta.dirname, "../..");
/** The checkout's program; TESTED_OTTLA names another, such as a bundle's. */
export const ottlaCommand = process.env["TESTED_OTTLA"] ?? join(treeRoot, "bin/ottla");

export interface OttlaServerOptions {
  /** Kept over restarts when given; else a fresh one that `stop` removes. */
  readonly dataDirectory?: string;
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Another `ottla` than that of the checkout. */
  readonly command?: string;
}

/** A real `ottla serve` in a process of its own, on free ports and its own data directory. */
export class OttlaServer {
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly kafkaPort: number;
  readonly dataDirectory: string;
  readonly #options: OttlaServerOptions;
  #process: ChildProcess | undefined;
  #output = "";

  private constructor(ports: readonly number[], dataDirectory: string, options: OttlaServerOptions) {
    [this.grpcPort = 0, this.httpPort = 0, this.kafkaPort = 0] = ports;
    this.dataDirectory = dataDirectory;
    this.#options = options;
  }

  /** Starts a server and waits until it says that it is ready. */
  static async start(options: OttlaServerOptions = {}): Promise<OttlaServer> {
    const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), "ottla-test-")));
    const server = new OttlaServer(await freePorts(3), dataDirectory, options);
    await server.launch();
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.grpcPort}`;
  }

  get kafkaAddress(): string {
    return `127.0.0.1:${this.kafkaPort}`;
  }

  get processId(): number {
    return this.#running().pid ?? -1;
  }

  /** All that the server has written to its output and its log. */
  get output(): string {
    return this.#output;
  }

  /** Starts the process (again) on the same ports and data directory, and waits until it is ready. */
  async launch(): Promise<void> {
    const flags = ["serve", "--data-dir", this.dataDirectory, "--grpc-port", String(this.grpcPort)];
    flags.push("--http-port", String(this.httpPort), "--kafka-port", String(this.kafkaPort));
    flags.push(...(this.#options.flags ?? []));
    const child = spawn(this.#options.command ?? ottlaCommand, flags, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...this.#options.environment },
    });
    child.stdout.on("data", (chunk: Buffer) => this.#keep(chunk));
    child.stderr.on("data", (chunk: Buffer) => this.#keep(chunk));
    this.#process = child;
    const ended = this.#untilExit(child);
    await Promise.race([this.#untilReady(child, ended), ended]);
    // It may end later, at a test's wish: that is no rejection nobody waits for.
    ended.catch(() => undefined);
  }

  /** Kills the process as a power cut of the process would: no handler runs. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Asks the process to stop; returns its exit code. */
  async terminate(): Promise<number | null> {
    return this.#end("SIGTERM");
  }

  /** Stops the process and removes the data directory unless it was given. */
  async stop(): Promise<void> {
    if (this.#process !== undefined && this.#process.exitCode === null) await this.kill();
    if (this.#options.dataDirectory === undefined)
      await rm(this.dataDirectory, { recursive: true, force: true });
  }

  #running(): ChildProcess {
    if (this.#process === undefined) throw new Error("the server was not started");
    return this.#process;
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#running();
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  async #untilReady(child: ChildProcess, ended: Promise<void>): Promise<void> {
    const url = `http://127.0.0.1:${this.httpPort}/readyz`;
    for (;;) {
      const answer = await fetch(url).catch(() => undefined);
      if (answer?.ok === true) return;
      await new Promise((resume) => setTimeout(resume, 10));
      if (child.exitCode !== null || child.signalCode !== null) return ended;
    }
  }

  async #untilExit(child: ChildProcess): Promise<void> {
    await once(child, "exit");
    throw new Error(`ottla serve ended before it was ready:\n${this.#output}`);
  }

  #keep(chunk: Buffer): void {
    this.#output = `${this.#output}${chunk.toString()}`.slice(-100_000);
  }
}
