import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

export interface Program {
  readonly name: string;
  readonly command: string;
  readonly flags: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Answers with 200 when the program is ready. */
  readonly readyUrl: string;
  /** What asks it to stop; default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
}

interface Running {
  readonly program: Program;
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
}

const READY_TIMEOUT_MS = 60_000;
const LOOK_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 40_000;
const NAME_WIDTH = 19;

/** Kills what it was told of when the one who tells it is gone, however that ended. */
const WATCHDOG =
  'pids=; while read -r pid; do pids="$pids $pid"; done; [ -z "$pids" ] || kill -9 $pids 2>/dev/null';

/**
 * Programs that belong together: their output line by line with their names before it, reported
 * when they die, stopped in the reverse order of their start. Each has a process group of its own,
 * so that Ctrl-C reaches only us and the order is ours; a watchdog ends them should we be killed.
 */
export class Programs {
  readonly #say: (text: string) => void;
  readonly #running: Running[] = [];
  readonly #watchdog: ChildProcess;
  #died: ((reason: Error) => void) | undefined;
  #stopping = false;

  constructor(say: (text: string) => void) {
    this.#say = say;
    this.#watchdog = spawn("sh", ["-c", WATCHDOG], { stdio: ["pipe", "ignore", "ignore"], detached: true });
    this.#watchdog.stdin?.on("error", () => undefined);
    this.#watchdog.unref();
  }

  get isStopping(): boolean {
    return this.#stopping;
  }

  start(program: Program): void {
    const { command, flags, environment, name } = program;
    const child = spawn(command, flags, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) =>
        this.#say(`${name.padEnd(NAME_WIDTH)} | ${line}`),
      );
    }
    child.once("error", (error) => this.#died?.(new Error(`${name} cannot be started: ${error.message}`)));
    const ended = once(child, "exit").then(([code, signal]) => {
      if (this.#stopping) return;
      const how = code === null ? `was killed by ${signal}` : `ended with code ${code}`;
      const again = Object.entries(environment ?? {}).map(([key, value]) => `${key}=${value}`);
      this.#say(`*** ${name} ${how}. To start it again: ${[...again, command, ...flags].join(" ")}`);
      this.#died?.(new Error(`${name} ${how} before the cluster was ready`));
    });
    this.#watchdog.stdin?.write(`${child.pid}\n`);
    this.#running.push({ program, child, ended });
  }

  /** Rejects when one of them dies first, or takes too long. */
  async untilReady(): Promise<void> {
    const died = new Promise<never>((_, reject) => {
      this.#died = reject;
    });
    const untilMs = performance.now() + READY_TIMEOUT_MS;
    const ready = this.#running.map(async ({ program }) => {
      while (!this.#stopping) {
        const { isOk, text: why } = await look(program.readyUrl);
        if (isOk) return;
        if (performance.now() > untilMs) {
          throw new Error(`${program.name} is not ready after ${READY_TIMEOUT_MS / 1000} s: ${why}`);
        }
        await new Promise((resume) => setTimeout(resume, 50));
      }
    });
    try {
      await Promise.race([Promise.all(ready), died]);
    } finally {
      this.#died = undefined;
    }
  }

  /** Resolves with the first signal that asks to stop; a second one ends everything at once. */
  untilSignal(): Promise<undefined> {
    return new Promise((resolve) => {
      let isSecond = false;
      const listen = (): void => {
        if (isSecond) {
          for (const { child } of this.#running) child.kill("SIGKILL");
          process.exit(130);
        }
        isSecond = true;
        this.#stopping = true;
        resolve(undefined);
      };
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, listen);
    });
  }

  /** One role after another, the last started first; the nodes of a role side by side. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const roles = Map.groupBy(this.#running, ({ program }) => program.name.replace(/-\d+$/, ""));
    for (const [role, members] of [...roles].toReversed()) {
      this.#say(`stopping ${role}`);
      await Promise.all(members.map((member) => end(member)));
    }
    this.#watchdog.kill("SIGKILL");
  }
}

async function end({ program, child, ended }: Running): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  child.kill(program.stopSignal ?? "SIGTERM");
  await ended;
  clearTimeout(timer);
}

/** What is answered there; not with `fetch`, which refuses some ports that browsers must not call. */
function look(url: string): Promise<{ isOk: boolean; text: string }> {
  return new Promise((resolve) => {
    const failed = (): void => resolve({ isOk: false, text: "no answer" });
    const request = get(url, { timeout: LOOK_TIMEOUT_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve({ isOk: response.statusCode === 200, text }));
      response.on("error", failed);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", failed);
  });
}

/** Ports that nobody uses now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    ports.push(address.port);
  }
  for (const server of servers) server.close();
  return ports;
}

/** Whether nobody listens there now. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const isListening = new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => resolve(true));
  });
  const answer = await isListening;
  server.close();
  return answer;
}
