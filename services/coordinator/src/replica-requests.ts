import { invalidRequest, OttlaError } from "@ottla/errors";
import type { ClusterPartition, Comparison, Revision } from "@ottla/metadata";
import {
  type AlterIsrRequest,
  type IsrChange,
  type IsrChangeAnswer,
  IsrRefusal as RefusalCode,
  type ReplicaReport,
  type ReportReplicasRequest,
} from "@ottla/proto/ottla/internal/v1/coordinator";
import {
  type IsrProposal,
  type IsrRefusal,
  type NodeInstance,
  withoutDamagedReplica,
  withoutLeavingMember,
  withProposedIsr,
} from "./isr-rules.ts";
import { changedState, withNewTerm } from "./partition-leadership.ts";
import {
  failUnlessWritten,
  type PartitionChange,
  type PartitionDecision,
  type PartitionOutcome,
  type PartitionWriter,
} from "./partition-writer.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";

/** How many partitions one request may name. */
const MAX_ITEMS = 1000;

type Answer = Pick<IsrChangeAnswer, "refusal" | "partitionEpoch">;

interface Services {
  readonly nodes: StorageNodes;
  readonly partitions: PartitionWriter;
  /** Asks for a round. */
  readonly wantRound: () => void;
}

/**
 * What storage nodes ask for about the replicas they hold. Nothing here waits behind rounds or other
 * requests: each partition is decided on its latest state.
 */
export class ReplicaRequests {
  readonly #term: Term;
  readonly #services: Services;

  constructor(term: Term, services: Services) {
    this.#term = term;
    this.#services = services;
  }

  /** One answer for each change; throws only when nothing is known about any. */
  async alterIsr(request: AlterIsrRequest): Promise<Answer[]> {
    const { changes } = request;
    checkCount("changes", changes.length);
    const leader = { nodeId: request.nodeId, nodeEpoch: Number(request.nodeEpoch) };
    if (!this.#isRegistered(leader)) return changes.map(() => refused("fenced-leader-epoch"));
    const refusals = new Map<IsrChange, IsrRefusal>();
    const outcomes = await this.#services.partitions.request(
      changes.map((change) => ({
        topicId: change.topicId,
        partition: change.partition,
        decide: (state) => this.#decideIsr(state, proposalOf(leader, change), (r) => refusals.set(change, r)),
      })),
    );
    failIfDeposed(outcomes);
    return outcomes.map((outcome, i) => {
      const change = changes[i];
      return isrAnswer(outcome, change === undefined ? undefined : refusals.get(change));
    });
  }

  #decideIsr(
    state: ClusterPartition,
    proposal: IsrProposal,
    refuse: (reason: IsrRefusal) => void,
  ): PartitionDecision {
    if (this.#services.nodes.isGoing(state.topicId)) {
      refuse("stale-partition-epoch");
      return undefined;
    }
    const decided = withProposedIsr(state, proposal, this.#mayJoin, this.#term.mutants);
    if (typeof decided === "string") {
      refuse(decided);
      return undefined;
    }
    for (const { nodeId } of proposal.added) this.#services.nodes.damaged.delete(state, nodeId);
    const isCompared = !this.#term.mutants.has("joins-unregistered");
    // The view may lag: the store itself says whether the registration stands at the moment of the write.
    const compare = isCompared ? proposal.added.map((node) => this.#registered(node)) : [];
    return { kind: "put", state: decided, compare };
  }

  readonly #mayJoin = ({ nodeId, nodeEpoch }: NodeInstance): boolean =>
    this.#services.nodes.live(nodeId) === nodeEpoch && !this.#services.nodes.leaving.has(nodeId);

  /** R12: replicas that lost records stop counting; partitions whose leader resigned get a new term. */
  async report(request: ReportReplicasRequest): Promise<Revision> {
    const { reports } = request;
    checkCount("reports", reports.length);
    const node = this.#requireRegistered(request.nodeId, Number(request.nodeEpoch));
    const changes = reports.map((report): PartitionChange => {
      const { topicId, partition } = report;
      return { topicId, partition, decide: (state) => this.#decideReport(state, node, report) };
    });
    return this.#revisionOf(await this.#services.partitions.request(changes));
  }

  #decideReport(state: ClusterPartition, { nodeId, nodeEpoch }: NodeInstance, report: ReplicaReport) {
    const { what } = report;
    if (what.case === "damagedFrom") {
      this.#services.nodes.damaged.add(state, nodeId, nodeEpoch);
      return put(changedState(state, this.#elect(withoutDamagedReplica(state, nodeId))));
    }
    const leads =
      state.leader === nodeId && state.leaderNodeEpoch === nodeEpoch && state.leaderEpoch === what.value;
    return leads ? put(withNewTerm(state, this.#elect(withoutLeader(state), nodeId))) : undefined;
  }

  /**
   * Controlled shutdown: others lead, and the node leaves the ISRs that can do without it. Answers with the
   * number of partitions that it still leads, because nobody else can.
   */
  async moveLeadersAway(nodeId: number, nodeEpoch: number) {
    const { nodes, partitions, wantRound } = this.#services;
    this.#requireRegistered(nodeId, nodeEpoch);
    nodes.leaving.add(nodeId, nodeEpoch, wantRound);
    const changes: PartitionChange[] = [];
    for (const { topicId, partition, isr, leader } of partitions.latest.all()) {
      if (!isr.includes(nodeId) && leader !== nodeId) continue;
      changes.push({ topicId, partition, decide: (state) => this.#decideLeaving(state, nodeId) });
    }
    const revision = this.#revisionOf(await partitions.request(changes));
    let remaining = 0;
    for (const { leader } of partitions.latest.all()) if (leader === nodeId) remaining += 1;
    this.#term.logger.info(
      { nodeId, partitions: changes.length, remaining },
      "a storage node is about to stop: moved its leaders away",
    );
    return { revision, remaining };
  }

  #decideLeaving(state: ClusterPartition, nodeId: number): PartitionDecision {
    let after = state;
    if (state.leader === nodeId) {
      const moved = this.#elect(withoutLeader(state), nodeId);
      if (moved.leader >= 0 && state.isr.includes(moved.leader)) after = moved;
    }
    return put(changedState(state, withoutLeavingMember(after, nodeId)));
  }

  #elect(state: ClusterPartition, notThisOne?: number): ClusterPartition {
    return this.#services.nodes.elect(state, { notThisOne });
  }

  #registered({ nodeId, nodeEpoch }: NodeInstance): Comparison {
    const key = this.#term.view.keys.node("partition-storage", nodeId);
    return { key, createRevision: nodeEpoch };
  }

  #isRegistered({ nodeId, nodeEpoch }: NodeInstance): boolean {
    return this.#term.view.node("partition-storage", nodeId)?.nodeEpoch === nodeEpoch;
  }

  #requireRegistered(nodeId: number, nodeEpoch: number): NodeInstance {
    const node = { nodeId, nodeEpoch };
    if (this.#isRegistered(node)) return node;
    throw new OttlaError(
      "STALE_BROKER_EPOCH",
      `storage node ${nodeId} is not registered with the node epoch ${nodeEpoch}`,
      { metadata: { field: "node_epoch" } },
    );
  }

  #revisionOf(outcomes: readonly PartitionOutcome[]): Revision {
    return Math.max(this.#term.view.revision, failUnlessWritten(outcomes));
  }
}

function put(state: ClusterPartition | undefined): PartitionDecision {
  return state === undefined ? undefined : { kind: "put", state };
}

function withoutLeader(state: ClusterPartition): ClusterPartition {
  return { ...state, leader: -1, leaderNodeEpoch: -1, lastKnownLeader: state.leader };
}

function proposalOf(leader: NodeInstance, change: IsrChange): IsrProposal {
  const { leaderEpoch, partitionEpoch, isr, lostRecords } = change;
  const added = change.added.map(({ nodeId, nodeEpoch }) => ({ nodeId, nodeEpoch: Number(nodeEpoch) }));
  return { leader, leaderEpoch, partitionEpoch, isr, added, lostRecords };
}

const REFUSAL_CODES: Readonly<Record<IsrRefusal, RefusalCode>> = {
  "stale-partition-epoch": RefusalCode.STALE_PARTITION_EPOCH,
  "ineligible-replica": RefusalCode.INELIGIBLE_REPLICA,
  "fenced-leader-epoch": RefusalCode.FENCED_LEADER_EPOCH,
};

function refused(reason: IsrRefusal): Answer {
  return { refusal: REFUSAL_CODES[reason], partitionEpoch: 0 };
}

function isrAnswer(outcome: PartitionOutcome, refusal: IsrRefusal | undefined): Answer {
  switch (outcome.kind) {
    case "written":
      return { refusal: RefusalCode.UNSPECIFIED, partitionEpoch: outcome.state?.partitionEpoch ?? 0 };
    case "unchanged":
    case "absent":
      return refused(refusal ?? "fenced-leader-epoch");
    case "stale":
      return refused("ineligible-replica");
    case "failed":
    case "unknown":
      return { refusal: RefusalCode.UNKNOWN_OUTCOME, partitionEpoch: 0 };
    default:
      return outcome satisfies never;
  }
}

/** Nothing was written by it, so the caller may ask the elected one. */
function failIfDeposed(outcomes: readonly PartitionOutcome[]): void {
  for (const outcome of outcomes) {
    if (outcome.kind === "failed" && outcome.error.code === "NOT_CONTROLLER") throw outcome.error;
  }
}

function checkCount(field: string, count: number): void {
  if (count > MAX_ITEMS) throw invalidRequest(field, `${count} in one request`, MAX_ITEMS);
}
