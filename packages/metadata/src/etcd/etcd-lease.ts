import type { ServiceError } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import type { Clock } from "@ottla/runtime";
import { LeaseKeeper } from "../lease-keeper.ts";
import type { EtcdCluster } from "./etcd-cluster.ts";
import type { EtcdEndpoint } from "./etcd-endpoint.ts";
import { etcdCallError, etcdError, failureOf } from "./etcd-errors.ts";

/** A lease with what the metrics ask of it. */
export interface EtcdLease {
  readonly keeper: LeaseKeeper;
  /** When the last keep-alive that etcd answered was sent, on the monotonic clock. */
  readonly keptAliveAtMs: () => number;
}

export interface GrantOptions {
  readonly cluster: EtcdCluster;
  readonly clock: Clock;
  readonly ttlMs: number;
  readonly timeoutMs: number;
}

/**
 * Grants a lease and keeps it alive with calls of our own: etcd3's `Lease` tells of a loss only after
 * twice the time to live. A grant whose answer was lost leaves a lease behind that runs out by itself.
 */
export async function grantEtcdLease(options: GrantOptions): Promise<EtcdLease> {
  const { cluster, clock, ttlMs, timeoutMs } = options;
  let keptAliveAtMs = clock.monotonic();
  const { ID: id } = await cluster.repeat(timeoutMs, async (endpoint, attemptMs) => {
    keptAliveAtMs = clock.monotonic();
    // etcd counts in seconds and may grant more: our own deadline stays with what was asked.
    const granted = await endpoint.call("Lease.leaseGrant", { TTL: Math.ceil(ttlMs / 1000) }, attemptMs);
    return granted;
  });
  const keeper = new LeaseKeeper({
    id,
    ttlMs,
    clock,
    grantSentAtMs: keptAliveAtMs,
    sendKeepAlive: async () => {
      const sentAtMs = clock.monotonic();
      const isAlive = await cluster.repeat(ttlMs, async (endpoint, attemptMs) => {
        // One that comes late must not keep the keys of a holder that has been told of its loss.
        keeper.lost.throwIfAborted();
        return keepAliveOnce(endpoint, id, Math.min(attemptMs, ttlMs / 3), clock);
      });
      if (isAlive) keptAliveAtMs = Math.max(keptAliveAtMs, sentAtMs);
      return isAlive;
    },
    revoke: () => revokeLease(options, id),
    lostError: (reason) => new OttlaError("METADATA_UNAVAILABLE", `the lease ${id} is lost: ${reason}`),
  });
  return { keeper, keptAliveAtMs: () => keptAliveAtMs };
}

async function revokeLease({ cluster, timeoutMs }: GrantOptions, id: string): Promise<void> {
  try {
    await cluster.repeat(timeoutMs, (endpoint, attemptMs) =>
      endpoint.call("Lease.leaseRevoke", { ID: id }, attemptMs),
    );
  } catch (thrown) {
    // It has run out, or an earlier attempt has ended it.
    if (failureOf(thrown) !== "lease") throw thrown;
  }
}

/**
 * Resolves to false when etcd says that the lease has ended. A stream per keep-alive
 * finds a new member by itself.
 */
function keepAliveOnce(
  endpoint: EtcdEndpoint,
  id: string,
  timeoutMs: number,
  clock: Clock,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const what = `the keep-alive of lease ${id} at etcd ${endpoint.address}`;
    const stream = endpoint.stream("Lease.leaseKeepAlive");
    const timer = clock.setTimer(timeoutMs, () => {
      reject(etcdError("timeout", `${what} had no answer in ${Math.ceil(timeoutMs)} ms`));
      endpoint.suspect();
      stream.cancel();
    });
    stream.on("data", (response) => {
      timer.cancel();
      resolve(Number(response.TTL) > 0);
      stream.end();
    });
    stream.on("error", (error: ServiceError) => {
      timer.cancel();
      reject(etcdCallError(what, error));
    });
    stream.on("end", () => {
      timer.cancel();
      reject(etcdError("unreachable", `${what} had no answer`));
    });
    stream.write({ ID: id });
  });
}
