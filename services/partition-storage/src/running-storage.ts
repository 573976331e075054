import { toOttlaError } from "@ottla/errors";
import type { LogResources } from "@ottla/log";
import type { KeptRegistration } from "@ottla/metadata";
import type { CompactionScheduler } from "./compaction-scheduler.ts";
import { type LeadersMoved, moveLeadersAway } from "./controlled-shutdown.ts";
import type { DiskWatchdog } from "./disk-watchdog.ts";
import type { PartitionReplica } from "./partition-replica.ts";
import type { PartitionStore } from "./partition-store.ts";
import { ReplicaReadiness } from "./replica-readiness.ts";
import type { ReplicaTicks } from "./replica-ticks.ts";
import type { ReplicationParts } from "./replication-parts.ts";
import type { PartitionStorageOptions } from "./storage-options.ts";
import type { Upkeep } from "./upkeep.ts";

/** How the service ended: the data directory is marked with it (R9). */
export interface StorageEnd {
  readonly clean: boolean;
  readonly nodeEpoch: number;
}

export interface PartitionStorage {
  /** Undefined when all logs are open, else why not. */
  notReady(): string | undefined;
  /** Undefined when its replicas were all in sync once since the start, else how many are not. */
  replicasNotReady(): string | undefined;
  /** What it keeps, for those who check that all is as it should be: to be looked at only. */
  replicas(): Iterable<PartitionReplica>;
  /**
   * Lets others lead, and goes on: for who will stop it soon. The coordinator lets it lead again when it has
   * not stopped in time.
   */
  moveLeadersAway(): Promise<LeadersMoved>;
  /** Lets others lead, deregisters, fails who waits, flushes and closes all logs. */
  stop(): Promise<StorageEnd>;
}

export interface StorageParts {
  readonly compaction: CompactionScheduler;
  readonly registration: KeptRegistration;
  readonly replication: ReplicationParts;
  readonly resources: LogResources;
  readonly store: PartitionStore;
  readonly ticks: ReplicaTicks;
  readonly upkeep: Upkeep;
  readonly watchdog: DiskWatchdog;
}

/** A storage node that has started, and how it stops. */
export class RunningStorage implements PartitionStorage {
  readonly #options: PartitionStorageOptions;
  readonly #parts: StorageParts;
  readonly #readiness: ReplicaReadiness;

  constructor(options: PartitionStorageOptions, parts: StorageParts) {
    this.#options = options;
    this.#parts = parts;
    const { replication, store } = parts;
    this.#readiness = new ReplicaReadiness({ view: options.view, node: replication.node, store });
  }

  notReady(): string | undefined {
    const { nodeId, view } = this.#options;
    const { registration, store } = this.#parts;
    const isKnown = view.storageNode(nodeId)?.lastNodeEpoch === registration.nodeEpoch;
    return isKnown ? store.notReady() : "the coordinator has not taken this node in yet";
  }

  replicasNotReady(): string | undefined {
    // What the metadata says before the node is taken in is about its last run.
    return this.notReady() === undefined ? this.#readiness.notReady() : "replicas are not open yet";
  }

  replicas(): Iterable<PartitionReplica> {
    return this.#parts.store.replicas();
  }

  moveLeadersAway(): Promise<LeadersMoved> {
    const { replication, store } = this.#parts;
    return moveLeadersAway({ ...this.#options, node: replication.node, store });
  }

  async stop(): Promise<StorageEnd> {
    const { compaction, registration, replication, resources, store, ticks, upkeep, watchdog } = this.#parts;
    const { client, node } = replication;
    await this.moveLeadersAway();
    const { nodeEpoch } = registration;
    // Before the logs are closed: nobody is to wait for the acknowledgements of a replica that stops.
    await registration.close().catch((thrown: unknown) => {
      const reason = "cannot deregister the node: its lease will end by itself";
      this.#options.logger.warn({ err: toOttlaError(thrown) }, reason);
    });
    compaction.stop();
    await upkeep.stop();
    ticks.stop();
    watchdog.stop();
    client.close();
    const clean = await store.close();
    await compaction.ended();
    await node.close();
    await resources.openFiles.close();
    return { clean, nodeEpoch };
  }
}
