/**
 * Loaded into the server with `--import`: once a second it writes the longest pause of the event loop to the
 * file EVENT_LOOP_WATCH, and how much of a pause the thread itself has worked. On a machine that others want
 * too most pauses are waits for a core, of which a program can do nothing.
 */
import { writeFileSync } from "node:fs";

const LOOK_MS = 2;
const path = process.env["EVENT_LOOP_WATCH"];
if (path !== undefined) {
  let longest = { pauseMs: 0, ownMs: 0 };
  let atMs = performance.now();
  let used = process.threadCpuUsage();
  let looks = 0;
  const look = (): void => {
    const nowMs = performance.now();
    const { user, system } = process.threadCpuUsage();
    const pauseMs = nowMs - atMs - LOOK_MS;
    const ownMs = (user + system - used.user - used.system) / 1_000;
    longest = { pauseMs: Math.max(longest.pauseMs, pauseMs), ownMs: Math.max(longest.ownMs, ownMs) };
    atMs = nowMs;
    used = { user, system };
    looks += 1;
    if (looks % (1_000 / LOOK_MS) !== 0) return;
    writeFileSync(path, `${JSON.stringify(longest)}\n`, { flag: "a" });
    longest = { pauseMs: 0, ownMs: 0 };
  };
  setInterval(look, LOOK_MS).unref();
}
