/**
 * Loaded into a server with `--import`: once a second it appends to the file EVENT_LOOP_WATCH the longest
 * pause of the event loop and where it went: work of the thread itself, waiting for a core, collecting
 * garbage. What is left of it the thread was blocked in the kernel. `workMs` is the longest piece of work
 * of all. On a machine that others want too most pauses are waits for a core, of which a program can do
 * nothing.
 */
import { closeSync, openSync, readSync, writeFileSync } from "node:fs";
import { PerformanceObserver } from "node:perf_hooks";

const LOOK_MS = 2;
const LINE_MS = 1_000;
const path = process.env["EVENT_LOOP_WATCH"];
if (path !== undefined) watch(path);

interface Pause {
  readonly atMs: number;
  readonly pauseMs: number;
  readonly ownMs: number;
  readonly coreWaitMs: number;
}

function watch(file: string): void {
  // Of the main thread: nanoseconds on a core, nanoseconds in line for one, turns.
  const schedule = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  process.on("exit", () => closeSync(schedule));
  const bytes = Buffer.alloc(128);
  const spent = (): readonly [ownMs: number, coreWaitMs: number] => {
    const length = readSync(schedule, bytes, 0, bytes.length, 0);
    const [own = 0, wait = 0] = bytes.toString("latin1", 0, length).split(" ").map(Number);
    return [own / 1e6, wait / 1e6];
  };
  let collections: { readonly startTime: number; readonly duration: number }[] = [];
  new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ["gc"] });
  let longest: Pause = { atMs: 0, pauseMs: 0, ownMs: 0, coreWaitMs: 0 };
  let workMs = 0;
  let atMs = performance.now();
  let writtenMs = atMs;
  let [usedMs, waitedMs] = spent();
  const write = (): void => {
    const untilMs = longest.atMs + longest.pauseMs + LOOK_MS;
    let collectorMs = 0;
    for (const { startTime, duration } of collections) {
      if (startTime >= longest.atMs && startTime < untilMs) collectorMs += duration;
    }
    writeFileSync(file, `${JSON.stringify({ ...longest, collectorMs, workMs })}\n`, { flag: "a" });
    collections = [];
    longest = { atMs: 0, pauseMs: 0, ownMs: 0, coreWaitMs: 0 };
    workMs = 0;
  };
  const look = (): void => {
    const nowMs = performance.now();
    const [nowUsedMs, nowWaitedMs] = spent();
    const pauseMs = nowMs - atMs - LOOK_MS;
    const ownMs = nowUsedMs - usedMs;
    workMs = Math.max(workMs, ownMs);
    if (pauseMs > longest.pauseMs) longest = { atMs, pauseMs, ownMs, coreWaitMs: nowWaitedMs - waitedMs };
    [atMs, usedMs, waitedMs] = [nowMs, nowUsedMs, nowWaitedMs];
    if (nowMs - writtenMs < LINE_MS) return;
    writtenMs = nowMs;
    // After this turn: collections are told of when they are over, and later.
    setImmediate(write);
  };
  setInterval(look, LOOK_MS).unref();
}
