import type { PartitionStore } from "./partition-store.ts";
import { ReplicationClient } from "./replication/replication-client.ts";
import { ReplicationMetrics } from "./replication/replication-metrics.ts";
import { ReplicationServer } from "./replication/replication-server.ts";
import type { StorageMetrics } from "./storage-metrics.ts";
import { StorageNode } from "./storage-node.ts";
import type { PartitionStorageOptions } from "./storage-options.ts";

/** How a node takes part in replication: as itself, as leader of others and as their follower. */
export interface ReplicationParts {
  readonly node: StorageNode;
  readonly server: ReplicationServer;
  readonly client: ReplicationClient;
}

const ISR_RETRY_BACKOFF_MS = 200;
const REFUSED_BACKOFF_MS = 25;
const REJOIN_DELAY_MS = 1_000;
const COORDINATOR_TIMEOUT_MS = 3_000;

export function createReplication(
  options: PartitionStorageOptions,
  metrics: StorageMetrics,
  store: () => PartitionStore,
): ReplicationParts {
  const { clock, directory, nodeId, settings } = options;
  const shared = {
    nodeId,
    nodeEpoch: (): number => node.identity?.nodeEpoch ?? -1,
    clusterId: directory.clusterId,
    clock,
    metrics: new ReplicationMetrics(options.metrics),
  };
  const server = new ReplicationServer({
    ...shared,
    replica: (topicId, partition) => store().find(topicId, partition, -1),
  });
  const client = new ReplicationClient({
    ...shared,
    transportFor: options.peerTransport,
    random: options.random,
    logger: options.logger,
    limits: { catchUpBytesPerSecond: settings.catchUpBytesPerSecond },
  });
  const node: StorageNode = new StorageNode({
    ...options,
    metrics,
    mutants: options.mutants,
    limits: {
      replicaLagTimeMaxMs: settings.replicaLagTimeMaxMs,
      isrRetryBackoffMs: ISR_RETRY_BACKOFF_MS,
      refusedBackoffMs: REFUSED_BACKOFF_MS,
      rejoinDelayMs: REJOIN_DELAY_MS,
    },
    followerStreams: server,
    leaderStreams: client,
    controller: options.controllerTransport,
    coordinatorTimeoutMs: COORDINATOR_TIMEOUT_MS,
  });
  return { node, server, client };
}
