import type { ModelLink } from "@ottla/metadata";
import type { SeededRandom } from "@ottla/runtime";
import type { SimulatedNetwork } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

/** etcd, as one host of the network. */
export const ETCD_HOST = "etcd";

/** What can go wrong between one process and etcd, beside the network. */
export interface MetadataFaults {
  /** How long events of watches take on top of the network. */
  watchLagMs: number;
  /** The chance that a request never arrives, and that its answer does not. */
  requestLoss: number;
  answerLoss: number;
}

export interface MetadataLinkOptions {
  readonly process: SimulatedProcess;
  readonly scheduler: Scheduler;
  readonly network: SimulatedNetwork;
  readonly random: SeededRandom;
  readonly faults: MetadataFaults;
  /** Counts what was lost. */
  readonly onLost: (what: "request" | "answer") => void;
}

/** How long a request that cannot pass waits in the sockets, at most, before it arrives after all. */
const LATE_MS = 6_000;
const LATE_CHECK_MS = 200;

/**
 * A process's way to etcd. What does not pass is lost, or arrives late: then its sender has given it up long
 * since, and it is done all the same.
 */
export function metadataLink(options: MetadataLinkOptions): ModelLink {
  const { process, scheduler, network, random, faults, onLost } = options;

  const toServer = (arrive: () => void): void => {
    if (!process.isAlive) return;
    if (faults.requestLoss > 0 && random.float() < faults.requestLoss) {
      onLost("request");
      return;
    }
    const mayBeLate = random.float() < 0.5;
    const untilMs = scheduler.nowMs + LATE_MS;
    const attempt = (): void => {
      if (network.passes(process.name, ETCD_HOST)) arrive();
      else if (mayBeLate && scheduler.nowMs < untilMs) scheduler.after(LATE_CHECK_MS, attempt);
    };
    scheduler.after(network.latencyMs(process.name, ETCD_HOST), attempt);
  };

  const toClient = (arrive: () => void): void => {
    if (faults.answerLoss > 0 && random.float() < faults.answerLoss) {
      onLost("answer");
      return;
    }
    scheduler.after(network.latencyMs(ETCD_HOST, process.name), () => {
      if (network.passes(ETCD_HOST, process.name)) process.enter(arrive);
    });
  };

  const toWatch = (arrive: () => void): void => {
    const attempt = (): void => {
      if (!process.isAlive) return;
      if (network.passes(ETCD_HOST, process.name)) process.enter(arrive);
      else scheduler.after(LATE_CHECK_MS, attempt);
    };
    const lagMs = faults.watchLagMs > 0 ? random.float() * faults.watchLagMs : 0;
    scheduler.after(network.latencyMs(ETCD_HOST, process.name) + lagMs, attempt);
  };

  return { toServer, toClient, toWatch };
}
