import { type KeptRegistration, keepRegistered } from "@ottla/metadata";
import { VERSION } from "@ottla/runtime";
import type { PartitionStore } from "./partition-store.ts";
import type { ReplicationParts } from "./replication-parts.ts";
import type { PartitionStorageOptions } from "./storage-options.ts";

/** Registers the node and keeps it so; its replicas learn of each registration and of its end. */
export function registerStorage(
  options: PartitionStorageOptions,
  store: PartitionStore,
  { client, node }: ReplicationParts,
): Promise<KeptRegistration> {
  const { nodeId, zone, address, leaseTtlMs, view, random, clock, logger, directory, signal } = options;
  return keepRegistered({
    store: options.store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    ...(signal && { signal }),
    registration: {
      role: "partition-storage",
      nodeId,
      zone,
      addresses: [address],
      version: VERSION,
      incarnation: random.uuid(),
      directoryId: directory.directoryId,
      cleanShutdownNodeEpoch: directory.cleanShutdown?.nodeEpoch ?? -1,
    },
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
}
