import { type ClusterView, keepRegistered, type MetadataStore, type OnHeld } from "@ottla/metadata";
import { GroupCoordinatorService } from "@ottla/proto/ottla/internal/v1/groups";
import { PartitionRouter, type TransportFor } from "@ottla/routing";
import { ServiceRegistry } from "@ottla/rpc";
import {
  type Clock,
  Deadlines,
  LimitedLogger,
  type Logger,
  type MetricsRegistry,
  type Random,
  VERSION,
} from "@ottla/runtime";
import { groupCoordinatorService } from "./group-coordinator-service.ts";
import type { GroupLimits } from "./group-limits.ts";
import { GroupMetrics } from "./group-metrics.ts";
import { addLagExporter } from "./lag-exporter.ts";
import { MemberBudget } from "./member-budget.ts";
import { type GroupMutants, NO_MUTANTS } from "./mutants.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import { OwnedPartitions } from "./owned-partitions.ts";

export interface GroupCoordinatorOptions {
  readonly nodeId: number;
  readonly zone: string;
  readonly address: string;
  readonly leaseTtlMs: number;
  /** Gives up on the registration; has no effect later. */
  readonly signal?: AbortSignal;
  readonly store: MetadataStore;
  readonly view: ClusterView;
  /** Called when another process has the node's id, and when it has not any more. */
  readonly onHeld?: OnHeld;
  /** Connections to storage nodes, where the groups' topic is. */
  readonly transportFor: TransportFor;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  /** Opens the GroupCoordinatorService to gateways: before they can find this node. */
  readonly serve: (registry: ServiceRegistry) => void;
  readonly limits: GroupLimits;
  readonly mutants?: GroupMutants;
}

export interface GroupCoordinator {
  /** Undefined when it is ready, else why not. */
  notReady(): string | undefined;
  /** What it owns now, by partition of the groups' topic. */
  owned(): ReadonlyMap<number, OwnedPartition>;
  stop(): Promise<void>;
}

const MAX_LAG_SERIES = 50_000;

/** Starts a group-coordinator: it registers, and owns the groups that the metadata gives to it. */
export async function startGroupCoordinator(options: GroupCoordinatorOptions): Promise<GroupCoordinator> {
  const { nodeId, zone, address, leaseTtlMs, store, view, clock, random, logger, limits, signal } = options;
  const router = new PartitionRouter({ view, transportFor: options.transportFor, clock });
  const deadlines = new Deadlines({ clock });
  const limited = new LimitedLogger({ logger, clock });
  const metrics = new GroupMetrics(options.metrics);
  const budget = new MemberBudget({
    limitBytes: limits.maxMemberBytes,
    logger: limited,
    onRefused: () => metrics.refused(),
  });
  const partitions = new OwnedPartitions({
    view,
    nodeId,
    router,
    clock,
    random,
    deadlines,
    limits,
    budget,
    logger,
    mutants: options.mutants ?? NO_MUTANTS,
    onLoaded: (durationMs) => metrics.loaded(durationMs),
  });
  metrics.observe(partitions, budget);
  const tables = () => partitions.tables();
  addLagExporter({ registry: options.metrics, clock, view, router, tables, maxOffsets: MAX_LAG_SERIES });
  const registry = new ServiceRegistry();
  registry.add(GroupCoordinatorService, groupCoordinatorService({ partitions, limits, random }));
  options.serve(registry);
  const registration = await keepRegistered({
    store,
    keys: view.keys,
    ttlMs: leaseTtlMs,
    clock,
    logger,
    ...(signal && { signal }),
    ...(options.onHeld && { onHeld: options.onHeld }),
    onRegistered: (nodeEpoch) => partitions.registered(nodeEpoch),
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
    owned: () => partitions.owned,
    stop: async () => {
      // First out of the metadata, so that others take over while the rest ends here.
      await registration.close();
      // A fence that is under way ends with the router.
      await Promise.all([partitions.close(), router.close()]);
      deadlines.clear();
      limited.close();
    },
  };
}
