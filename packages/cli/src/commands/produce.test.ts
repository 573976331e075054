import { MemoryServer } from "@ottla/client/test-support";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ExitCode } from "../exit-codes.ts";
import { FINISH_AFTER_INTERRUPT_MS } from "../interruption.ts";
import { buildProgram } from "../program.ts";
import { TestEnvironment } from "../test-support/test-environment.ts";

let server: MemoryServer;

beforeEach(async () => {
  server = new MemoryServer();
  await server.start();
});

afterEach(() => server.stop());

/** `ottla produce t` whose input ended, while the server keeps silent about what it received. */
async function waitingForAnswers(): Promise<{ environment: TestEnvironment; exit: Promise<number> }> {
  server.createTopic("t", 1);
  const arrived = Promise.withResolvers<void>();
  server.interfere = () => {
    arrived.resolve();
    return "stay silent";
  };
  const environment = new TestEnvironment({ address: server.address, input: ["one\ntwo\n"] });
  const exit = buildProgram(environment).run(["produce", "t"]);
  await arrived.promise;
  return { environment, exit };
}

describe("Ctrl-C after the input has ended and before its acknowledgements", () => {
  test("gives the server ten seconds, then ends and says what was not acknowledged", async () => {
    const { environment, exit } = await waitingForAnswers();
    environment.interrupt();
    await environment.virtualClock.advance(FINISH_AFTER_INTERRUPT_MS);
    expect(await exit).toBe(ExitCode.interrupted);
    expect(environment.err).toMatch(/^interrupted: 0 records acknowledged .*; 2 failed\n$/);
  });

  test("a second one ends at once", async () => {
    const { environment, exit } = await waitingForAnswers();
    environment.interrupt();
    environment.interrupt();
    expect(await exit).toBe(ExitCode.interrupted);
    expect(environment.virtualClock.monotonic()).toBe(0);
  });
});
