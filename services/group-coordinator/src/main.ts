import { type ClusterView, keepRegistered, type MetadataStore } from "@ottla/metadata";
import { type Clock, type Logger, type Random, VERSION } from "@ottla/runtime";

export interface GroupCoordinatorOptions {
  readonly nodeId: number;
  readonly zone: string;
  readonly address: string;
  readonly leaseTtlMs: number;
  /** Gives up on the registration; has no effect later. */
  readonly signal?: AbortSignal;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface GroupCoordinator {
  /** Undefined when it is ready, else why not. */
  notReady(): string | undefined;
  stop(): Promise<void>;
}

/** Starts a group-coordinator: it registers its node; groups come later. */
export async function startGroupCoordinator(options: GroupCoordinatorOptions): Promise<GroupCoordinator> {
  const { nodeId, zone, address, leaseTtlMs, store, view, clock, random, logger, signal } = options;
  const registration = await keepRegistered({
    store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    ...(signal && { signal }),
    registration: {
      role: "group-coordinator",
      nodeId,
      zone,
      addresses: [address],
      version: VERSION,
      incarnation: random.uuid(),
      directoryId: "",
      cleanShutdownNodeEpoch: -1,
    },
  });
  return {
    notReady: () => (registration.registered ? undefined : "the node is not registered"),
    stop: () => registration.close(),
  };
}
