import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Lifecycle } from "./lifecycle.ts";
import { createLogger, nullLogger } from "./logging.ts";
import { type ProcessEvents, runUntilSignal } from "./run-until-signal.ts";
import { VirtualClock } from "./virtual-clock.ts";

const never = (): Promise<void> => new Promise(() => undefined);

function setUp() {
  const clock = new VirtualClock();
  const stopped: string[] = [];
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const logger = createLogger({ format: "json", destination });
  const lifecycle = new Lifecycle({ clock, logger });
  const add = (name: string): void => lifecycle.add(name, () => void stopped.push(name));
  return { clock, stopped, lines, logger, lifecycle, add };
}

describe("Lifecycle", () => {
  test("parts stop in reverse order, each after the one before it has ended", async () => {
    const { lifecycle, stopped, clock, lines } = setUp();
    for (const name of ["disk", "log", "server"]) {
      lifecycle.add(name, async () => {
        stopped.push(`${name} begins`);
        await clock.sleep(10);
        stopped.push(`${name} ends`);
      });
    }
    expect(lifecycle.stopping).toBe(false);
    const report = lifecycle.stop(1_000);
    expect(lifecycle.stopping).toBe(true);
    await clock.advance(30);
    expect(await report).toEqual({ clean: true, overran: [], failed: [] });
    const names = ["server", "log", "disk"];
    expect(stopped).toEqual(names.flatMap((name) => [`${name} begins`, `${name} ends`]));
    expect(lines.map((line) => JSON.parse(line).part)).toEqual(names);
    expect(clock.pendingTimers).toBe(0);
  });

  test("a part that overruns is named and left behind; later ones are still told to stop", async () => {
    const { lifecycle, add, stopped, clock } = setUp();
    add("disk");
    lifecycle.add("log", never);
    let aborted = false;
    lifecycle.add("server", (signal) => {
      signal.addEventListener("abort", () => (aborted = true));
      return never();
    });
    const report = lifecycle.stop(500);
    await clock.advance(499);
    expect(aborted).toBe(false);
    await clock.advance(1);
    expect(aborted).toBe(true);
    expect(await report).toEqual({ clean: false, overran: ["server", "log"], failed: [] });
    expect(stopped).toEqual(["disk"]);
  });

  test("a part with a limit of its own leaves time to the others", async () => {
    const { lifecycle, stopped, clock } = setUp();
    lifecycle.add("log", async () => {
      await clock.sleep(300);
      stopped.push("log");
    });
    lifecycle.add("drain", never, { timeoutMs: 100 });
    const report = lifecycle.stop(500);
    await clock.advance(400);
    expect(await report).toEqual({ clean: false, overran: ["drain"], failed: [] });
    expect(stopped).toEqual(["log"]);
  });

  test("a part that fails is named, and the others stop all the same", async () => {
    const { lifecycle, add, stopped, lines } = setUp();
    add("disk");
    lifecycle.add("log", () => {
      throw new Error("fdatasync failed");
    });
    expect(await lifecycle.stop(500)).toEqual({ clean: false, overran: [], failed: ["log"] });
    expect(stopped).toEqual(["disk"]);
    expect(lines.join("")).toContain("fdatasync failed");
  });

  test("a second stop is the first one", async () => {
    const { lifecycle, add, stopped } = setUp();
    add("disk");
    expect(lifecycle.stop(1)).toBe(lifecycle.stop(99));
    await lifecycle.stop(1);
    expect(stopped).toEqual(["disk"]);
    expect(() => add("late")).toThrow("late was added after the stop began");
  });
});

class FakeProcess extends EventEmitter implements ProcessEvents {
  readonly exits: number[] = [];

  exit(code: number): void {
    this.exits.push(code);
  }
}

describe("runUntilSignal", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"])("%s stops in order and says 0", async (signal) => {
    const { lifecycle, add, stopped, logger } = setUp();
    const fake = new FakeProcess();
    add("disk");
    const exitCode = runUntilSignal({ lifecycle, logger, timeoutMs: 100, process: fake });
    fake.emit(signal);
    expect(await exitCode).toBe(0);
    expect(stopped).toEqual(["disk"]);
    expect(fake.eventNames()).toEqual([]);
  });

  test("an unclean stop says 1", async () => {
    const { lifecycle, clock } = setUp();
    const fake = new FakeProcess();
    lifecycle.add("log", never);
    const exitCode = runUntilSignal({ lifecycle, logger: nullLogger, timeoutMs: 100, process: fake });
    fake.emit("SIGTERM");
    await clock.advance(100);
    expect(await exitCode).toBe(1);
  });

  test("a second signal exits at once, with the signal's code", async () => {
    const { lifecycle, clock } = setUp();
    const fake = new FakeProcess();
    lifecycle.add("log", never);
    const exitCode = runUntilSignal({ lifecycle, logger: nullLogger, timeoutMs: 100, process: fake });
    fake.emit("SIGINT");
    await clock.advance(50);
    expect(fake.exits).toEqual([]);
    fake.emit("SIGINT");
    expect(fake.exits).toEqual([130]);
    await clock.advance(50);
    await exitCode;
  });

  test.each(["uncaughtException", "unhandledRejection"])(
    "%s is logged as fatal and exits with 70",
    (event) => {
      const { lifecycle, logger, lines } = setUp();
      const fake = new FakeProcess();
      void runUntilSignal({ lifecycle, logger, timeoutMs: 100, process: fake });
      fake.emit(event, new Error("a bug"));
      expect(fake.exits).toEqual([70]);
      expect(lines.join("")).toMatch(/"level":"fatal".*a bug/);
    },
  );
});

/** Runs a real process with one part, which says when it is up and when it stops. */
async function runProcess(afterStart: string, act: (child: { kill(signal: NodeJS.Signals): void }) => void) {
  const index = JSON.stringify(fileURLToPath(new URL("./index.ts", import.meta.url)));
  const program = `
    import { createLogger, Lifecycle, runUntilSignal, systemClock } from ${index};
    const logger = createLogger({ format: "json" });
    const lifecycle = new Lifecycle({ clock: systemClock, logger });
    const ended = runUntilSignal({ lifecycle, logger, timeoutMs: 5_000 });
    const alive = setInterval(() => undefined, 1_000);
    lifecycle.add("part", () => clearInterval(alive));
    process.stdout.write("up\\n");
    ${afterStart}
    process.exitCode = await ended;`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program]);
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  createInterface(child.stdout).once("line", () => act(child));
  const exitCode = await new Promise((resolve) => child.once("close", resolve));
  return { exitCode, log };
}

describe("a real process", () => {
  test("SIGTERM stops it in order, and it exits by itself with 0", async () => {
    const { exitCode, log } = await runProcess("", (child) => child.kill("SIGTERM"));
    expect(log).toMatch(/"signal":"SIGTERM".*"msg":"stopping"[^]*"part":"part".*"msg":"stopped"/);
    expect(exitCode).toBe(0);
  });

  test("an unhandled rejection is logged and exits with 70", async () => {
    const { exitCode, log } = await runProcess('Promise.reject(new Error("a bug"));', () => undefined);
    expect(log).toMatch(/"level":"fatal".*a bug/);
    expect(exitCode).toBe(70);
  });
});
