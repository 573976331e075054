import { expect, test } from "vitest";
import { Interruption } from "./interruption.ts";
import { TestEnvironment } from "./test-support/test-environment.ts";

function interruption(environment: TestEnvironment): Interruption {
  return new Interruption({ environment, clock: environment.virtualClock, onGiveUp: () => undefined });
}

test("a wait ends with the interruption, and one that begins after it at once", async () => {
  const environment = new TestEnvironment();
  const interrupted = interruption(environment);
  const never = new Promise<string>(() => undefined);
  const waiting = interrupted.orUntil(never);
  expect(await interrupted.orUntil(Promise.resolve("value"))).toBe("value");
  environment.interrupt();
  expect(await waiting).toBeUndefined();
  expect(await interrupted.orUntil(never)).toBeUndefined();
});

test("a work that is done leaves no timer and no handler", () => {
  const environment = new TestEnvironment();
  const done = interruption(environment);
  environment.interrupt();
  done.dispose();
  expect(environment.virtualClock.pendingTimers).toBe(0);
});
