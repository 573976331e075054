import type { Clock, Logger } from "@ottla/runtime";
import type { KeyValue } from "./metadata-store.ts";
import type { NodeRegistration } from "./values.ts";

/** Why a node waits with its registration; undefined when it waits no longer. */
export type OnHeld = (reason: string | undefined) => void;

export interface HeldNodeIdOptions {
  readonly registration: NodeRegistration;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onHeld?: OnHeld | undefined;
}

/** A log line for the same holder at most this often. */
const REMIND_MS = 60_000;

/**
 * Says that another process has the node's id. After a crash that is the one before, and over within its
 * lease; where it is not, two processes were given the same id, and one of them would wait without a word.
 */
export class HeldNodeId {
  readonly #options: HeldNodeIdOptions;
  #toldHolder = -1;
  #remindMs = 0;

  constructor(options: HeldNodeIdOptions) {
    this.#options = options;
  }

  noteHolder(entry: KeyValue, holder: NodeRegistration | undefined): void {
    const { registration, clock, logger, onHeld } = this.#options;
    const { role, nodeId } = registration;
    const { addresses = [], registeredAtMs } = holder ?? {};
    const since = registeredAtMs === undefined ? "" : ` since ${new Date(registeredAtMs).toISOString()}`;
    const who = `${addresses[0] ?? "another process"}${since}`;
    const reason = `node id ${nodeId} is held by ${who}; waiting until its lease is over`;
    onHeld?.(reason);
    const nowMs = clock.monotonic();
    if (entry.createRevision === this.#toldHolder && nowMs < this.#remindMs) return;
    this.#toldHolder = entry.createRevision;
    this.#remindMs = nowMs + REMIND_MS;
    logger.warn({ role, nodeId }, reason);
  }

  noteFree(): void {
    this.#options.onHeld?.(undefined);
  }
}
