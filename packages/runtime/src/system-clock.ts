import type { Clock, Timer, TimerOptions } from "./clock.ts";

/** Node fires a timer at once when its delay does not fit 31 bits, so longer ones are set in several legs. */
const LONGEST_LEG_MS = 2 ** 31 - 1;

/** The machine's clock and the event loop's timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer,
  sleep,
  nextTurn: (callback) => {
    setImmediate(callback);
  },
};

function setTimer(delayMs: number, callback: () => void, options: TimerOptions = {}): Timer {
  if (Number.isNaN(delayMs)) throw new RangeError("delayMs is not a number");
  let remainingMs = Math.max(0, delayMs);
  let handle: NodeJS.Timeout | undefined;
  const startLeg = () => {
    const legMs = Math.min(remainingMs, LONGEST_LEG_MS);
    remainingMs -= legMs;
    handle = setTimeout(remainingMs > 0 ? startLeg : callback, legMs);
    if (options.background === true) handle.unref();
  };
  startLeg();
  return { cancel: () => clearTimeout(handle) };
}

function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return sleepOn(setTimer, delayMs, signal);
}

/** `Clock.sleep` in terms of `Clock.setTimer`: the same for every clock. */
export function sleepOn(set: Clock["setTimer"], delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = set(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
