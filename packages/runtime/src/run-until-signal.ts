import { constants } from "node:os";
import type { Lifecycle } from "./lifecycle.ts";
import type { Logger } from "./logging.ts";

/** What a main program exits with. A second signal exits with 128 + its number, as shells expect. */
export const ProcessExit = {
  /** All parts stopped in time. */
  CLEAN: 0,
  /** A part failed to stop or overran the deadline: the next start recovers as after a crash. */
  UNCLEAN: 1,
  /** A part said that it cannot go on, such as one whose data directory was removed (sysexits' EX_IOERR). */
  FAILED: 74,
  /** An error that nobody caught (sysexits' EX_SOFTWARE). */
  FAULT: 70,
} as const;

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
type StopSignal = (typeof STOP_SIGNALS)[number];

/** The part of `process` that is needed here; tests pass their own. */
export interface ProcessEvents {
  on(event: string, listener: (...values: unknown[]) => void): unknown;
  off(event: string, listener: (...values: unknown[]) => void): unknown;
  exit(code: number): void;
}

interface FaultHandlerOptions {
  readonly logger: Logger;
  readonly process?: ProcessEvents;
}

/**
 * Logs errors that nobody caught and exits at once, without an orderly stop: after one of them no state in
 * memory can be trusted, and the log on disk recovers from a crash. Returns a function that removes the
 * handlers.
 */
export function installFaultHandlers(options: FaultHandlerOptions): () => void {
  const target: ProcessEvents = options.process ?? process;
  const listen = (event: string, message: string): (() => void) => {
    const listener = (thrown: unknown): void => {
      options.logger.fatal({ err: thrown }, message);
      target.exit(ProcessExit.FAULT);
    };
    target.on(event, listener);
    return () => target.off(event, listener);
  };
  const removers = [
    listen("uncaughtException", "an error was not caught: exiting"),
    listen("unhandledRejection", "a promise was rejected and nobody handled it: exiting"),
  ];
  return () => {
    for (const remove of removers) remove();
  };
}

export interface RunUntilSignalOptions extends FaultHandlerOptions {
  readonly lifecycle: Lifecycle;
  /** For the whole stop. */
  readonly timeoutMs: number;
}

/**
 * Call it before the parts start, and await it after: it also catches errors while they do.
 *
 * Waits for SIGTERM, SIGINT or SIGHUP, stops the lifecycle and resolves with the exit code. A second signal
 * exits at once. A lifecycle that fails is stopped like that too, and the code is 74. Errors that nobody
 * caught are logged and exit with 70.
 */
export async function runUntilSignal(options: RunUntilSignalOptions): Promise<number> {
  const { lifecycle, logger, timeoutMs } = options;
  const target: ProcessEvents = options.process ?? process;
  const removeFaultHandlers = installFaultHandlers(options);
  const first = Promise.withResolvers<StopSignal | undefined>();
  let received = false;
  const listeners = STOP_SIGNALS.map((signal) => {
    const listener = (): void => {
      if (received) {
        logger.warn({ signal }, "second signal: exiting at once");
        target.exit(128 + constants.signals[signal]);
        return;
      }
      received = true;
      first.resolve(signal);
    };
    target.on(signal, listener);
    return { signal, listener };
  });
  lifecycle.failed.addEventListener("abort", () => first.resolve(undefined), { once: true });
  if (lifecycle.failed.aborted) first.resolve(undefined);
  const signal = await first.promise;
  logger.info({ signal, timeoutMs }, "stopping");
  const report = await lifecycle.stop(timeoutMs);
  for (const { signal, listener } of listeners) target.off(signal, listener);
  removeFaultHandlers();
  if (report.clean) logger.info("stopped");
  else logger.error({ overran: report.overran, failed: report.failed }, "stopped, but not cleanly");
  if (lifecycle.failed.aborted) return ProcessExit.FAILED;
  return report.clean ? ProcessExit.CLEAN : ProcessExit.UNCLEAN;
}
