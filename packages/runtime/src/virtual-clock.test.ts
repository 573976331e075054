import { describe, expect, it } from "vitest";
import { VirtualClock } from "./virtual-clock.ts";

describe("VirtualClock", () => {
  it("stands still until told, then fires what is due in the order of time, then of setting", async () => {
    const clock = new VirtualClock({ startMs: 1000 });
    const fired: string[] = [];
    const note = (name: string) => () => {
      fired.push(`${name}@${clock.now()}`);
    };
    clock.setTimer(20, note("late"));
    clock.setTimer(10, note("first"));
    clock.setTimer(10, note("second"));
    clock.setTimer(30, note("not yet"));
    clock.setTimer(5, note("cancelled")).cancel();
    await clock.advance(25);
    expect(fired).toEqual(["first@1010", "second@1010", "late@1020"]);
    expect(clock.now()).toBe(1025);
    expect(clock.monotonic()).toBe(25);
    expect(clock.pendingTimers).toBe(1);
  });

  it("fires a timer that another sets on the way, once all that follows from the other has run", async () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const loop = async () => {
      while (seen.length < 4) {
        await clock.sleep(10);
        await new Promise<void>((resolve) => {
          clock.nextTurn(resolve);
        });
        seen.push(clock.monotonic());
      }
    };
    const done = loop();
    await clock.advance(100);
    await done;
    expect(seen).toEqual([10, 20, 30, 40]);
  });

  it("ends a sleep when its signal aborts and leaves no timer behind", async () => {
    const clock = new VirtualClock();
    const controller = new AbortController();
    const sleep = clock.sleep(10, controller.signal);
    controller.abort(new Error("enough"));
    await expect(sleep).rejects.toThrow("enough");
    expect(clock.pendingTimers).toBe(0);
  });

  it("runs turns by itself, or only when told", async () => {
    const automatic = new VirtualClock();
    await new Promise<void>((resolve) => {
      automatic.nextTurn(resolve);
    });

    const manual = new VirtualClock({ turns: "manual" });
    const order: string[] = [];
    manual.nextTurn(() => {
      order.push("one");
      manual.nextTurn(() => order.push("three"));
      queueMicrotask(() => order.push("between"));
    });
    manual.nextTurn(() => order.push("two"));
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    expect(order).toEqual([]);
    await manual.runUntilIdle();
    expect(order).toEqual(["one", "two", "between", "three"]);
  });

  it("goes from timer to timer", async () => {
    const clock = new VirtualClock();
    clock.setTimer(7, () => undefined);
    clock.setTimer(9, () => undefined, { background: true });
    expect(await clock.advanceToNextTimer()).toBe(true);
    expect(clock.monotonic()).toBe(7);
    expect(await clock.advanceToNextTimer()).toBe(true);
    expect(await clock.advanceToNextTimer()).toBe(false);
    expect(clock.monotonic()).toBe(9);
  });

  it("moves the wall clock alone when it jumps", () => {
    const clock = new VirtualClock({ startMs: 5000 });
    clock.jump(-3000);
    expect(clock.now()).toBe(2000);
    expect(clock.monotonic()).toBe(0);
  });

  it("refuses to go back, and delays that are not numbers", async () => {
    const clock = new VirtualClock();
    await expect(clock.advance(-1)).rejects.toThrow(RangeError);
    expect(() => clock.setTimer(Number.NaN, () => undefined)).toThrow(RangeError);
  });
});
