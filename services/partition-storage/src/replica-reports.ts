import { toOttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import type { NodeIdentity } from "@ottla/replication";
import { createClient, type Transport } from "@ottla/rpc";
import type { Clock, Logger } from "@ottla/runtime";
import type { PartitionRef, ReplicaReport } from "./replication-node.ts";

export interface ReplicaReportsOptions {
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly identity: () => NodeIdentity | undefined;
  readonly controller: () => Transport;
  readonly onNotController: () => void;
  readonly timeoutMs: number;
}

interface OpenReport {
  readonly partition: PartitionRef;
  readonly report: ReplicaReport;
}

const MAX_REPORTS = 1_000;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/**
 * Tells the coordinator which replicas of this node have lost records (R12) and what it leads no longer,
 * again and again until the metadata shows that it was heard. The last report of each kind counts for a
 * partition, which bounds what waits here.
 */
export class ReplicaReports {
  readonly #options: ReplicaReportsOptions;
  readonly #open = new Map<string, OpenReport>();
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: ReplicaReportsOptions) {
    this.#options = options;
  }

  add(partition: PartitionRef, report: ReplicaReport): void {
    this.#open.set(`${report.kind}-${partition.topicId}-${partition.partition}`, { partition, report });
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /**
   * The replica is whole again: what was said of its damage is said no more, or the coordinator would take a
   * sound member out of the ISR, and a leader that is lost in that moment would have no successor.
   */
  withdrawDamage({ topicId, partition }: PartitionRef): void {
    this.#open.delete(`damaged-${topicId}-${partition}`);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    // What one turn has to say goes together.
    await clock.sleep(0, signal).catch(() => undefined);
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)) {
      this.#forgetHeard();
      if (this.#open.size === 0) return;
      await this.#send([...this.#open.values()].slice(0, MAX_REPORTS));
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  #forgetHeard(): void {
    for (const [key, { partition, report }] of this.#open) {
      if (this.#isHeard(partition, report)) this.#open.delete(key);
    }
  }

  #isHeard({ topicId, partition }: PartitionRef, report: ReplicaReport): boolean {
    const state = this.#options.view.partition(topicId, partition);
    const identity = this.#options.identity();
    if (state === undefined || identity === undefined) return true;
    const { nodeId } = identity;
    if (report.kind === "resigned") return state.leaderEpoch > report.leaderEpoch || state.leader !== nodeId;
    return !state.isr.includes(nodeId) && !state.eligibleReplicas.includes(nodeId);
  }

  async #send(reports: readonly OpenReport[]): Promise<void> {
    const { controller, identity, logger, onNotController, timeoutMs } = this.#options;
    const node = identity();
    if (node === undefined) return;
    try {
      const client = createClient(CoordinatorService, controller());
      await client.reportReplicas(
        {
          nodeId: node.nodeId,
          nodeEpoch: BigInt(node.nodeEpoch),
          reports: reports.map(({ partition, report }) => ({
            topicId: partition.topicId,
            partition: partition.partition,
            what:
              report.kind === "damaged"
                ? { case: "damagedFrom", value: BigInt(report.fromOffset) }
                : { case: "resignedLeaderEpoch", value: report.leaderEpoch },
          })),
        },
        { timeoutMs, signal: this.#closing.signal },
      );
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code === "NOT_CONTROLLER") onNotController();
      if (this.#closing.signal.aborted) return;
      logger.warn(
        { err: error, replicas: reports.length },
        "the coordinator has not heard of replicas that failed",
      );
    }
  }
}
