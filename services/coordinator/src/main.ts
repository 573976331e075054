import { ClusterView } from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { Coordinator } from "./coordinator.ts";
import { CoordinatorMetrics } from "./coordinator-metrics.ts";
import type { CoordinatorOptions } from "./coordinator-options.ts";
import { coordinatorService } from "./coordinator-service.ts";

export interface RunningCoordinator {
  /** Whether this coordinator is the elected one. */
  readonly isActive: boolean;
  /** Undefined when it is ready to be elected or is, else why not. */
  notReady(): string | undefined;
  /** Resolves when it is elected and serves; rejects when the signal aborts or it stops. */
  whenActive(signal?: AbortSignal): Promise<void>;
  /** Hands the office on at once and ends. */
  stop(): Promise<void>;
}

/**
 * Starts a coordinator and returns while it stands for election. Until it is elected its service answers
 * NOT_CONTROLLER. Waits for the metadata store only where it opens a view of its own.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<RunningCoordinator> {
  const { store, cluster, clock, logger, metrics, registry } = options;
  const view = options.view ?? (await ClusterView.open({ store, cluster, clock, logger }));
  const coordinatorMetrics = new CoordinatorMetrics(metrics);
  const coordinator = new Coordinator(options, view, coordinatorMetrics);
  coordinatorMetrics.observe({ view, isActive: () => coordinator.isActive });
  registry.add(CoordinatorService, coordinatorService(coordinator, coordinatorMetrics));
  coordinator.start();
  return {
    get isActive() {
      return coordinator.isActive;
    },
    notReady: () => (coordinator.isRegistered ? undefined : "the node is not registered"),
    whenActive: (signal) => coordinator.whenActive(signal),
    stop: async () => {
      await coordinator.stop();
      if (options.view === undefined) view.close();
    },
  };
}
