import { type HoldOptions, type RegisteredNode, registerNode } from "./registration.ts";
import type { NodeRegistration } from "./values.ts";

export interface KeepRegisteredOptions extends HoldOptions {
  readonly registration: NodeRegistration;
  /** Called for each registration, the first one too. */
  readonly onRegistered?: (nodeEpoch: number) => void;
  /** The lease was lost: until the next registration the node is not part of the cluster. */
  readonly onLost?: () => void;
}

export interface KeptRegistration {
  /** Of the last registration. */
  readonly nodeEpoch: number;
  /** Whether the lease stands right now. */
  readonly registered: boolean;
  /** Deregisters and does not register again. */
  close(): Promise<void>;
}

/** Registers a node and does so again, with a new nodeEpoch, whenever its lease is lost. */
export async function keepRegistered(options: KeepRegisteredOptions): Promise<KeptRegistration> {
  const { onRegistered, onLost, ...registering } = options;
  const closing = new AbortController();
  const signal =
    options.signal === undefined ? closing.signal : AbortSignal.any([closing.signal, options.signal]);
  let current: RegisteredNode;

  const onLeaseLost = (): void => {
    if (closing.signal.aborted) return;
    options.logger.warn({ role: options.registration.role }, "the node's lease was lost, registering again");
    onLost?.();
    // Rejects only when the signal aborts.
    take().catch(() => undefined);
  };
  const take = async (): Promise<void> => {
    current = await registerNode({ ...registering, signal });
    current.lease.lost.addEventListener("abort", onLeaseLost, { once: true });
    onRegistered?.(current.nodeEpoch);
  };

  await take();
  return {
    get nodeEpoch() {
      return current.nodeEpoch;
    },
    get registered() {
      return !current.lease.lost.aborted;
    },
    close: async () => {
      closing.abort();
      await current.lease.revoke();
    },
  };
}
