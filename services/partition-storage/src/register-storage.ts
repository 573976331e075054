import { awaitRecovery, type KeptRegistration, keepRegistered } from "@ottla/metadata";
import { VERSION } from "@ottla/runtime";
import type { PartitionStore } from "./partition-store.ts";
import type { ReplicationParts } from "./replication-parts.ts";
import type { PartitionStorageOptions } from "./storage-options.ts";

/**
 * Registers the node and keeps it so; its replicas learn of each registration and of its end. While the
 * metadata store has gone back, the node is not part of the cluster and says that it waits.
 */
export async function registerStorage(
  options: PartitionStorageOptions,
  store: PartitionStore,
  { client, node }: ReplicationParts,
): Promise<KeptRegistration> {
  const { nodeId, zone, address, leaseTtlMs, view, random, clock, logger, directory, signal } = options;
  const incarnation = random.uuid();
  const registration = await keepRegistered({
    store: options.store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    ...(signal && { signal }),
    ...(options.onHeld && { onHeld: options.onHeld }),
    registration: {
      role: "partition-storage",
      nodeId,
      zone,
      addresses: [address],
      version: VERSION,
      incarnation,
      directoryId: directory.directoryId,
      cleanShutdownNodeEpoch: directory.cleanShutdown?.nodeEpoch ?? -1,
    },
    mayRegister: (closing) =>
      view.goneBackTo === undefined ? undefined : untilRecovered(options, incarnation, closing),
    onRegistered: (nodeEpoch) => {
      node.onRegistered(nodeEpoch);
      client.restart();
      store.onRegistered(nodeEpoch);
    },
    onLost: () => {
      node.onLeaseLost();
      store.onLeaseLost();
    },
  });
  view.onChange(({ recoveryChanged }) => {
    if (recoveryChanged && view.goneBackTo !== undefined) registration.renew();
  });
  return registration;
}

async function untilRecovered(
  options: PartitionStorageOptions,
  incarnation: string,
  signal: AbortSignal,
): Promise<void> {
  const { nodeId, address, leaseTtlMs, view, clock, logger, directory } = options;
  const { generation, revision } = view.seenStore;
  const recovered = new AbortController();
  const unsubscribe = view.onChange(() => {
    if (view.goneBackTo === undefined) recovered.abort();
  });
  await awaitRecovery({
    store: options.store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    nodeId,
    awaiting: { address, directoryId: directory.directoryId, incarnation, generation, revision },
    until: AbortSignal.any([signal, recovered.signal]),
  });
  unsubscribe();
  signal.throwIfAborted();
}
