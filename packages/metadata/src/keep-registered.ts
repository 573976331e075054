import { toOttlaError } from "@ottla/errors";
import type { OnHeld } from "./held-node-id.ts";
import { type HoldOptions, type RegisteredNode, registerNode } from "./registration.ts";
import type { NodeRegistration } from "./values.ts";

export interface KeepRegisteredOptions extends HoldOptions {
  readonly registration: NodeRegistration;
  /** Called when another process has the node's id, and when it has not any more. */
  readonly onHeld?: OnHeld;
  /** Called for each registration, the first one too. */
  readonly onRegistered?: (nodeEpoch: number) => void;
  /** The lease was lost: until the next registration the node is not part of the cluster. */
  readonly onLost?: () => void;
  /**
   * Resolves when the node may register; asked before each registration. Undefined: at once. Rejects only
   * when the signal aborts.
   */
  readonly mayRegister?: (signal: AbortSignal) => Promise<void> | undefined;
}

export interface KeptRegistration {
  /** Of the last registration; -1 before the first. */
  readonly nodeEpoch: number;
  /** Whether the lease stands right now. */
  readonly registered: boolean;
  /** Deregisters, and registers again when it may. */
  renew(): void;
  /** Deregisters and does not register again. */
  close(): Promise<void>;
}

/**
 * Registers a node and does so again, with a new nodeEpoch, whenever its lease is lost. Resolves when it is
 * registered, or when it has to wait until it may.
 */
export async function keepRegistered(options: KeepRegisteredOptions): Promise<KeptRegistration> {
  const { onRegistered, onLost, mayRegister, ...registering } = options;
  const closing = new AbortController();
  const signal =
    options.signal === undefined ? closing.signal : AbortSignal.any([closing.signal, options.signal]);
  let current: RegisteredNode | undefined;

  const onLeaseLost = (): void => {
    if (closing.signal.aborted) return;
    options.logger.warn({ role: options.registration.role }, "the node's lease was lost, registering again");
    onLost?.();
    takeLater();
  };
  const registerWhenAllowed = async (allowed: Promise<void> | undefined): Promise<RegisteredNode> => {
    for (let wait = allowed; ; ) {
      for (; wait !== undefined; wait = mayRegister?.(signal)) await wait;
      const registered = await registerNode({ ...registering, signal });
      // What forbids it may have come while it was under way.
      wait = mayRegister?.(signal);
      if (wait === undefined) return registered;
      await registered.lease.revoke().catch(() => undefined);
    }
  };
  const take = async (allowed: Promise<void> | undefined): Promise<void> => {
    current = await registerWhenAllowed(allowed);
    current.lease.lost.addEventListener("abort", onLeaseLost, { once: true });
    onRegistered?.(current.nodeEpoch);
  };
  const takeLater = (): void => {
    take(mayRegister?.(signal)).catch((thrown: unknown) => {
      if (signal.aborted) return;
      options.logger.error({ err: toOttlaError(thrown) }, "the node cannot register again");
    });
  };

  const allowed = mayRegister?.(signal);
  if (allowed === undefined) await take(undefined);
  else take(allowed).catch(() => undefined);
  return {
    get nodeEpoch() {
      return current?.nodeEpoch ?? -1;
    },
    get registered() {
      return current !== undefined && !current.lease.lost.aborted;
    },
    renew: () => void current?.lease.revoke().catch(() => undefined),
    close: async () => {
      closing.abort();
      await current?.lease.revoke();
    },
  };
}
