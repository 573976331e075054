import type { Ottla, OttlaOptions } from "@ottla/client";
import { OttlaError } from "@ottla/errors";
import type { CliEnvironment } from "./environment.ts";
import { CliError, ExitCode } from "./exit-codes.ts";
import { addressOf, type ConnectionFlags } from "./options.ts";

/** Longer than a gateway waits for etcd (5 s by default): without it, too, it answers what it knows. */
const REACH_TIMEOUT_MS = 8_000;
const UNREACHABLE: ReadonlySet<string> = new Set(["UNAVAILABLE", "NETWORK_EXCEPTION", "REQUEST_TIMED_OUT"]);

/**
 * Connects, after asking the server something small: the SDK itself would try for as long
 * as it is told, a person at a terminal wants to know at once that nobody is there.
 */
export async function connect(flags: ConnectionFlags, environment: CliEnvironment): Promise<Ottla> {
  const address = addressOf(flags, environment);
  const client = await import("@ottla/client");
  const options: OttlaOptions = {
    address,
    clientId: "ottla-cli",
    logger: { warn: (facts, message) => warn(environment, facts, message), debug: () => undefined },
  };
  const ottla = new client.Ottla(options);
  try {
    await ottla.admin().describeCluster({ timeoutMs: REACH_TIMEOUT_MS });
    return ottla;
  } catch (thrown) {
    await ottla.close();
    if (thrown instanceof OttlaError && UNREACHABLE.has(thrown.code)) throw unreachable(address, thrown);
    throw thrown;
  }
}

/** Connects, runs the work and closes, whatever happens. */
export async function withOttla<T>(
  flags: ConnectionFlags,
  environment: CliEnvironment,
  work: (ottla: Ottla) => Promise<T>,
): Promise<T> {
  const ottla = await connect(flags, environment);
  try {
    return await work(ottla);
  } finally {
    await ottla.close();
  }
}

function unreachable(address: string, cause: OttlaError): CliError {
  if (cause.code === "REQUEST_TIMED_OUT") {
    const within = `${REACH_TIMEOUT_MS / 1_000} s`;
    const message = `no answer from ${address} within ${within}: it is busy, or cannot be reached`;
    return new CliError(ExitCode.unreachable, message, cause);
  }
  return new CliError(
    ExitCode.unreachable,
    `cannot reach ${address}: is Ottla running there? (--address or OTTLA_ADDRESS names another)`,
    cause,
  );
}

function warn(environment: CliEnvironment, facts: object, message: string): void {
  const { code, topic, partition, reason } = facts as Partial<Record<string, string>>;
  // A client that closes its connection itself is no news.
  if (code === "CANCELLED") return;
  const what = topic === undefined ? `${message}: ${reason}` : `${topic}-${partition}: ${message}: ${reason}`;
  environment.stderr.write(`ottla: ${what} (${code ?? "unknown"})\n`);
}
