import { describe, expect, it, vi } from "vitest";
import { systemClock } from "./system-clock.ts";

describe("systemClock", () => {
  it("tells wall-clock time in whole milliseconds and monotonic time that does not go back", () => {
    expect(Number.isInteger(systemClock.now())).toBe(true);
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1000);
    const first = systemClock.monotonic();
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(first);
  });

  it("fires a timer, but not one that was cancelled", async () => {
    const fired: string[] = [];
    const cancelled = systemClock.setTimer(0, () => fired.push("cancelled"));
    cancelled.cancel();
    await new Promise<void>((resolve) => {
      systemClock.setTimer(1, resolve, { background: false });
    });
    cancelled.cancel();
    expect(fired).toEqual([]);
  });

  it("does not fire a timer of more than 24 days at once, as Node would", () => {
    vi.useFakeTimers();
    try {
      let fired = false;
      const days = 86_400_000;
      systemClock.setTimer(60 * days, () => {
        fired = true;
      });
      vi.advanceTimersByTime(59 * days);
      expect(fired).toBe(false);
      vi.advanceTimersByTime(days);
      expect(fired).toBe(true);
      const timer = systemClock.setTimer(60 * days, () => undefined);
      vi.advanceTimersByTime(50 * days);
      timer.cancel();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("refuses a delay that is not a number instead of firing at once", () => {
    expect(() => systemClock.setTimer(Number.NaN, () => undefined)).toThrow(RangeError);
  });

  it("ends a sleep when its signal aborts, with the signal's reason", async () => {
    const controller = new AbortController();
    const sleep = systemClock.sleep(3_600_000, controller.signal);
    controller.abort(new Error("enough"));
    await expect(sleep).rejects.toThrow("enough");
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow("enough");
    await systemClock.sleep(0, new AbortController().signal);
  });

  it("runs nextTurn callbacks after the promises of this turn", async () => {
    const order: string[] = [];
    const turn = new Promise<void>((resolve) => {
      systemClock.nextTurn(() => {
        order.push("turn");
        resolve();
      });
    });
    await Promise.resolve().then(() => order.push("promise"));
    await turn;
    expect(order).toEqual(["promise", "turn"]);
  });
});
