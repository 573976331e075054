import { invalidRequest, OttlaError } from "@ottla/errors";
import type { ClusterPartition, PartitionRef, Revision } from "@ottla/metadata";
import { unknownPartition } from "./leader-elections.ts";
import { assignmentProblem, invalidAssignment } from "./manual-placement.ts";
import { changedState, withMinInsyncReplicas } from "./partition-leadership.ts";
import {
  failUnlessWritten,
  type PartitionChange,
  type PartitionDecision,
  type PartitionWriter,
} from "./partition-writer.ts";
import {
  isMoving,
  originalReplicas,
  targetReplicas,
  withCancelledReassignment,
  withCompletedReassignment,
  withReassignment,
} from "./reassignment-rules.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";

/** How many partitions one request may name. */
const MAX_REASSIGNMENTS = 10_000;

export interface Reassignment {
  readonly ref: PartitionRef;
  /** Undefined: the move that is under way ends, and the replicas are where they were. */
  readonly replicas: readonly number[] | undefined;
}

export interface ReassignmentResults {
  readonly revision: Revision;
  /** One for each, in their order; undefined when the move is under way or done. */
  readonly errors: readonly (OttlaError | undefined)[];
}

/**
 * Moves of replicas (KIP-455). All that is known of a move is in the partition's key, so whoever coordinates
 * finishes it.
 */
export class Reassignments {
  readonly #term: Term;
  readonly #nodes: StorageNodes;
  readonly #partitions: PartitionWriter;
  /** Those that were seen to move. */
  readonly #moving = new Set<string>();

  constructor(term: Term, nodes: StorageNodes, partitions: PartitionWriter) {
    this.#term = term;
    this.#nodes = nodes;
    this.#partitions = partitions;
  }

  async alter(
    reassignments: readonly Reassignment[],
    allowReplicationFactorChange: boolean,
  ): Promise<ReassignmentResults> {
    if (reassignments.length > MAX_REASSIGNMENTS) {
      throw invalidRequest("reassignments", `${reassignments.length} in one request`, MAX_REASSIGNMENTS);
    }
    const errors = reassignments.map((): OttlaError | undefined => undefined);
    const changes = reassignments.map(({ ref, replicas }, i): PartitionChange => {
      const decide = (state: ClusterPartition): PartitionDecision => {
        errors[i] = this.#refusal(state, replicas, allowReplicationFactorChange);
        return errors[i] === undefined ? this.decide(state, replicas) : undefined;
      };
      return { ...ref, decide };
    });
    const outcomes = await this.#partitions.request(changes);
    let { revision } = this.#term.view;
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.kind === "written") revision = Math.max(revision, outcome.revision);
      if (outcome.kind === "failed" || outcome.kind === "unknown") errors[i] = outcome.error;
      const ref = reassignments[i]?.ref;
      if (outcome.kind === "absent" && ref !== undefined) errors[i] = unknownPartition(ref);
    }
    return { revision, errors };
  }

  /** Begins a move, or cancels it, when nothing speaks against it. */
  decide(state: ClusterPartition, replicas: readonly number[] | undefined): PartitionDecision {
    const moving =
      replicas === undefined ? withCancelledReassignment(state) : withReassignment(state, replicas);
    if (moving === undefined || isSameMove(state, moving)) return undefined;
    return this.#put(state, this.#complete(moving));
  }

  /** Ends all moves whose new replicas are in sync. */
  async completeAll(): Promise<void> {
    const changes: PartitionChange[] = [];
    for (const latest of this.#partitions.latest.all()) {
      if (!isMoving(latest)) continue;
      const { topicId, partition } = latest;
      changes.push({ topicId, partition, decide: (state) => this.#decideCompletion(state) });
    }
    failUnlessWritten(await this.#partitions.apply(changes));
  }

  /** Whether one of them was being moved when this was last asked, and is not any more. */
  haveEnded(refs: readonly PartitionRef[]): boolean {
    let ended = false;
    for (const { topicId, partition } of refs) {
      const key = this.#term.view.keys.partition(topicId, partition);
      const latest = this.#partitions.latest.get(topicId, partition);
      if (latest !== undefined && isMoving(latest)) this.#moving.add(key);
      else if (this.#moving.delete(key)) ended = true;
    }
    return ended;
  }

  /** Whether one of them could be completed. */
  canComplete(refs: readonly PartitionRef[]): boolean {
    return refs.some(({ topicId, partition }) => {
      const latest = this.#partitions.latest.get(topicId, partition);
      return latest !== undefined && isMoving(latest) && this.#decideCompletion(latest) !== undefined;
    });
  }

  #decideCompletion(state: ClusterPartition): PartitionDecision {
    if (!isMoving(state)) return undefined;
    const after = this.#complete(state);
    return after === state ? undefined : this.#put(state, after);
  }

  #complete(state: ClusterPartition): ClusterPartition {
    const topic = this.#term.view.topicById(state.topicId);
    if (topic === undefined || this.#nodes.isGoing(state.topicId)) return state;
    const minInsyncReplicas = this.#nodes.minInsyncReplicas(topic);
    const after = withCompletedReassignment(state, minInsyncReplicas);
    if (after !== state && !after.isr.some((nodeId) => this.#nodes.electable(nodeId) !== undefined)) {
      // Whoever could lead afterwards is away: the former replicas keep the partition in use until then.
      return state;
    }
    return withMinInsyncReplicas(after, minInsyncReplicas);
  }

  #put(before: ClusterPartition, after: ClusterPartition): PartitionDecision {
    const survivesReplica = this.#term.mutants.has("epoch-survives-replica");
    const state = changedState(before, this.#nodes.elect(after), survivesReplica);
    return state === undefined ? undefined : { kind: "put", state };
  }

  #refusal(
    state: ClusterPartition,
    replicas: readonly number[] | undefined,
    allowReplicationFactorChange: boolean,
  ): OttlaError | undefined {
    if (this.#nodes.isGoing(state.topicId)) return unknownPartition(state);
    if (replicas === undefined) return this.#cancelRefusal(state);
    const problem = assignmentProblem(replicas, this.#nodes) ?? this.#drainProblem(state, replicas);
    if (problem !== undefined) return invalidAssignment(`partition ${state.partition} ${problem}`);
    const count = originalReplicas(state).length;
    if (!allowReplicationFactorChange && replicas.length !== count) {
      return new OttlaError(
        "INVALID_REPLICATION_FACTOR",
        `partition ${state.partition} has ${count} replicas, the move would give it ${replicas.length}`,
        { metadata: { limit: String(count) } },
      );
    }
    return withReassignment(state, replicas) === undefined ? nobodyInSync(state) : undefined;
  }

  #cancelRefusal(state: ClusterPartition): OttlaError | undefined {
    if (!isMoving(state)) {
      return new OttlaError(
        "NO_REASSIGNMENT_IN_PROGRESS",
        `no replicas of partition ${state.partition} are being moved`,
      );
    }
    return withCancelledReassignment(state) === undefined ? nobodyInSync(state) : undefined;
  }

  #drainProblem(state: ClusterPartition, replicas: readonly number[]): string | undefined {
    const closed = replicas.find(
      (nodeId) => !state.replicas.includes(nodeId) && this.#nodes.drainOf(nodeId) !== "none",
    );
    if (closed === undefined) return undefined;
    const why = this.#nodes.isEmptied(closed) ? "being drained" : "cordoned";
    return `would move to storage node ${closed}, which is ${why}`;
  }
}

function isSameMove(left: ClusterPartition, right: ClusterPartition): boolean {
  return (
    left.replicas.join() === right.replicas.join() &&
    targetReplicas(left).join() === targetReplicas(right).join()
  );
}

function nobodyInSync(state: ClusterPartition): OttlaError {
  return invalidAssignment(
    `partition ${state.partition} would have no replica in sync: only ${state.isr.join(", ")} are`,
  );
}
