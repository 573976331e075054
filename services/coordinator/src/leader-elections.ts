import { OttlaError } from "@ottla/errors";
import type { ClusterPartition, PartitionRef, Revision } from "@ottla/metadata";
import { changedState, withPreferredLeader } from "./partition-leadership.ts";
import type { PartitionDecision, PartitionOutcome, PartitionWriter } from "./partition-writer.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";

export type ElectionType = "preferred" | "unclean";

export interface ElectionResult {
  readonly partition: PartitionRef;
  /** Undefined when the partition has the leader that was asked for. */
  readonly error: OttlaError | undefined;
}

export interface ElectionResults {
  readonly revision: Revision;
  readonly results: readonly ElectionResult[];
}

/** Elections that somebody asks for (KIP-460). */
export class LeaderElections {
  readonly #term: Term;
  readonly #nodes: StorageNodes;
  readonly #partitions: PartitionWriter;

  constructor(term: Term, nodes: StorageNodes, partitions: PartitionWriter) {
    this.#term = term;
    this.#nodes = nodes;
    this.#partitions = partitions;
  }

  /** No refs mean all partitions; then the answer holds only those that needed an election. */
  async elect(refs: readonly PartitionRef[], type: ElectionType): Promise<ElectionResults> {
    const areAll = refs.length === 0;
    const chosen = areAll ? this.#allThatNeedOne(type) : refs.map(refOf);
    const refusals = chosen.map((): OttlaError | undefined => undefined);
    const outcomes = await this.#partitions.request(
      chosen.map((ref, i) => ({
        ...ref,
        decide: (state) => {
          const decided = this.decide(state, type);
          refusals[i] = decided instanceof OttlaError ? decided : undefined;
          return decided instanceof OttlaError ? undefined : decided;
        },
      })),
    );
    let { revision } = this.#term.view;
    const results: ElectionResult[] = [];
    for (const [i, outcome] of outcomes.entries()) {
      const partition = chosen[i];
      if (partition === undefined) continue;
      if (outcome.kind === "written") revision = Math.max(revision, outcome.revision);
      const error = errorOf(outcome, refusals[i], partition);
      if (!areAll || error?.code !== "ELECTION_NOT_NEEDED") results.push({ partition, error });
    }
    return { revision, results };
  }

  #allThatNeedOne(type: ElectionType): PartitionRef[] {
    const needsOne = ({ leader, replicas }: ClusterPartition): boolean =>
      type === "preferred" ? leader !== replicas[0] : leader < 0;
    return [...this.#partitions.latest.all()].filter(needsOne).map(refOf);
  }

  decide(state: ClusterPartition, type: ElectionType): PartitionDecision | OttlaError {
    if (this.#nodes.isGoing(state.topicId)) return unknownPartition(state);
    return type === "preferred" ? this.#decidePreferred(state) : this.#decideUnclean(state);
  }

  #decidePreferred(state: ClusterPartition): PartitionDecision | OttlaError {
    const [preferred = -1] = state.replicas;
    if (state.leader === preferred) return notNeeded(`storage node ${preferred}, the preferred one, leads`);
    const after = withPreferredLeader(state, this.#nodes.electable);
    const changed = changedState(state, after);
    if (changed !== undefined) return { kind: "put", state: changed };
    return new OttlaError(
      "PREFERRED_LEADER_NOT_AVAILABLE",
      `storage node ${preferred}, the preferred leader, is not ready or not in sync`,
    );
  }

  #decideUnclean(state: ClusterPartition): PartitionDecision | OttlaError {
    if (state.leader >= 0) return notNeeded(`storage node ${state.leader} leads`);
    const changed = changedState(state, this.#nodes.elect(state, { unclean: true }));
    if (changed !== undefined && changed.leader >= 0) return { kind: "put", state: changed };
    return new OttlaError(
      "ELIGIBLE_LEADERS_NOT_AVAILABLE",
      state.replicas.length === 1
        ? `storage node ${state.replicas[0]}, the only replica, is not ready`
        : `none of the storage nodes ${state.replicas.join(", ")} is ready`,
    );
  }
}

function errorOf(
  outcome: PartitionOutcome,
  refusal: OttlaError | undefined,
  ref: PartitionRef,
): OttlaError | undefined {
  switch (outcome.kind) {
    case "written":
    case "stale":
      return undefined;
    case "unchanged":
      return refusal;
    case "absent":
      return unknownPartition(ref);
    case "failed":
    case "unknown":
      return outcome.error;
    default:
      return outcome satisfies never;
  }
}

function refOf({ topicId, partition }: PartitionRef): PartitionRef {
  return { topicId, partition };
}

function notNeeded(reason: string): OttlaError {
  return new OttlaError("ELECTION_NOT_NEEDED", reason);
}

export function unknownPartition({ topicId, partition }: PartitionRef): OttlaError {
  return new OttlaError(
    "UNKNOWN_TOPIC_OR_PARTITION",
    `topic ${topicId.slice(0, 40)} has no partition ${partition}`,
  );
}
