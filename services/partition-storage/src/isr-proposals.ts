import { toOttlaError } from "@ottla/errors";
import {
  type AlterIsrResponse,
  CoordinatorService,
  type IsrChangeAnswer,
  IsrRefusal,
} from "@ottla/proto/ottla/internal/v1/coordinator";
import type { IsrOutcome, IsrProposal, NodeIdentity } from "@ottla/replication";
import { createClient, type Transport } from "@ottla/rpc";
import type { Clock, Logger } from "@ottla/runtime";
import type { PartitionRef } from "./replication-node.ts";

export interface IsrProposalsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly identity: () => NodeIdentity | undefined;
  /** To the active coordinator; throws where there is none. */
  readonly controller: () => Transport;
  /** The coordinator that was asked is not the active one any more. */
  readonly onNotController: () => void;
  readonly timeoutMs: number;
}

interface Waiting {
  readonly partition: PartitionRef;
  readonly proposal: IsrProposal;
  readonly done: (outcome: IsrOutcome) => void;
}

/** As many as the coordinator takes in one call. */
const MAX_CHANGES = 1_000;
const MAX_CALLS = 4;

/**
 * Asks the coordinator for changes of ISRs: those of one turn in one call. Each gets exactly one outcome.
 * What is not answered in time is unknown. A partition has one proposal under way at the most, which bounds
 * what waits here.
 */
export class IsrProposals {
  readonly #options: IsrProposalsOptions;
  #waiting: Waiting[] = [];
  #calls = 0;
  #flushScheduled = false;

  constructor(options: IsrProposalsOptions) {
    this.#options = options;
  }

  propose(partition: PartitionRef, proposal: IsrProposal, done: (outcome: IsrOutcome) => void): void {
    this.#waiting.push({ partition, proposal, done });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#calls < MAX_CALLS) {
      const batch = this.#waiting.splice(0, MAX_CHANGES);
      this.#calls += 1;
      void this.#ask(batch).then((outcomes) => {
        this.#calls -= 1;
        batch.forEach(({ done }, index) => done(outcomes[index] ?? { kind: "unknown" }));
        if (this.#waiting.length > 0) this.#schedule();
      });
    }
  }

  async #ask(batch: readonly Waiting[]): Promise<readonly IsrOutcome[]> {
    const { controller, identity, logger, onNotController, timeoutMs } = this.#options;
    const node = identity();
    if (node === undefined) return [];
    try {
      const client = createClient(CoordinatorService, controller());
      const request = {
        nodeId: node.nodeId,
        nodeEpoch: BigInt(node.nodeEpoch),
        changes: batch.map(({ partition, proposal }) => ({
          topicId: partition.topicId,
          partition: partition.partition,
          leaderEpoch: proposal.leaderEpoch,
          partitionEpoch: proposal.partitionEpoch,
          isr: [...proposal.isr],
          added: proposal.added.map(({ nodeId, nodeEpoch }) => ({ nodeId, nodeEpoch: BigInt(nodeEpoch) })),
          lostRecords: [...proposal.lostRecords],
        })),
      };
      const response = await client.alterIsr(request, { timeoutMs });
      return outcomesOf(response);
    } catch (thrown) {
      const error = toOttlaError(thrown);
      logger.debug(
        { err: error, partitions: batch.length },
        "the coordinator did not answer changes of ISRs",
      );
      if (error.code === "NOT_CONTROLLER") onNotController();
      // Even a refusal proves nothing: an earlier copy of the call may have been carried out.
      return [];
    }
  }
}

function outcomesOf({ answers }: AlterIsrResponse): IsrOutcome[] {
  return answers.map(outcomeOf);
}

function outcomeOf({ refusal, partitionEpoch }: IsrChangeAnswer): IsrOutcome {
  switch (refusal) {
    case IsrRefusal.UNSPECIFIED:
      return { kind: "accepted", partitionEpoch };
    case IsrRefusal.STALE_PARTITION_EPOCH:
      return { kind: "refused", reason: "stale-partition-epoch" };
    case IsrRefusal.INELIGIBLE_REPLICA:
      return { kind: "refused", reason: "ineligible-replica" };
    case IsrRefusal.FENCED_LEADER_EPOCH:
      return { kind: "refused", reason: "fenced-leader-epoch" };
    default:
      return { kind: "unknown" };
  }
}
