import type { IsrOutcome, IsrProposal } from "../in-sync-replicas.ts";
import type { PartitionTerm, RegisteredNodes } from "../partition-term.ts";

const NO_NODE = -1;

/** The partition's key in the metadata store, and what else decides about it. */
export interface ModelPartition extends PartitionTerm {
  readonly eligibleReplicas: readonly number[];
}

/** What a node sees of the metadata at one moment. */
export interface MetadataView {
  readonly partition: ModelPartition;
  readonly nodes: RegisteredNodes;
}

interface Registration {
  readonly nodeEpoch: number;
  readonly directoryId: number;
}

/** Bugs of a coordinator, for the tests that show that the checks find them. */
export type CoordinatorMutant =
  /** A node with another directory keeps its place (R9). */
  | "lost-disk-keeps-place"
  /** A changed min.insync.replicas leaves the eligible replicas as they are (R4). */
  | "min-change-keeps-eligible"
  /** The partition epoch of a proposal is not compared (R1). */
  | "isr-without-compare"
  /** Leaders come from all replicas (R8). */
  | "unclean-election"
  /** Who is to join is not compared with its registration (R7). */
  | "joins-unregistered";

/**
 * The coordinator and the metadata store in one: the rules R1, R4, R8 and R9 for one
 * partition, with what `partition-leadership.ts` of the coordinator does. Every change is
 * kept, so that nodes can lag behind in what they see.
 */
export class ModelCoordinator {
  readonly history: MetadataView[] = [];
  readonly #mutants: ReadonlySet<CoordinatorMutant>;
  readonly #registered = new Map<number, Registration>();
  /** The registrations that were dealt with. */
  readonly #known = new Map<number, Registration>();
  #state: ModelPartition;
  #revision = 0;

  constructor(
    replicas: readonly number[],
    minInsyncReplicas: number,
    mutants: ReadonlySet<CoordinatorMutant>,
  ) {
    this.#mutants = mutants;
    this.#state = {
      leader: NO_NODE,
      leaderNodeEpoch: NO_NODE,
      leaderEpoch: 0,
      partitionEpoch: 0,
      replicas,
      isr: replicas,
      eligibleReplicas: [],
      minInsyncReplicas,
    };
    this.#keep();
  }

  get partition(): ModelPartition {
    return this.#state;
  }

  nodeEpochOf(nodeId: number): number | undefined {
    return this.#registered.get(nodeId)?.nodeEpoch;
  }

  /** The directory that the partition's state counts on for this node. */
  knownDirectoryOf(nodeId: number): number | undefined {
    return this.#known.get(nodeId)?.directoryId;
  }

  register(nodeId: number, directoryId: number): number {
    this.#revision += 1;
    this.#registered.set(nodeId, { nodeEpoch: this.#revision, directoryId });
    this.#keep();
    return this.#revision;
  }

  expire(nodeId: number): void {
    if (this.#registered.delete(nodeId)) this.#keep();
  }

  /** Who came back is judged (R9), who is gone leaves, then there is a leader if there can be one (R8). */
  round(): void {
    let state = this.#state;
    for (const nodeId of state.replicas) {
      const registered = this.#registered.get(nodeId);
      const known = this.#known.get(nodeId);
      if (registered === undefined) {
        if (known !== undefined) state = withoutLostNode(state, nodeId);
        continue;
      }
      if (known?.nodeEpoch === registered.nodeEpoch) continue;
      const keepsDirectory = known === undefined || known.directoryId === registered.directoryId;
      if (!keepsDirectory && !this.#mutants.has("lost-disk-keeps-place"))
        state = withoutMember(state, nodeId);
      this.#known.set(nodeId, registered);
    }
    this.#commit(this.#elect(state, NO_NODE));
  }

  setMinInsyncReplicas(minInsyncReplicas: number): void {
    const keeps = this.#mutants.has("min-change-keeps-eligible");
    // Without an ISR nothing is acknowledged, whatever the setting: the eligible replicas
    // have everything still.
    const isSafe = this.#state.isr.length === 0;
    const eligibleReplicas = keeps || isSafe ? this.#state.eligibleReplicas : [];
    this.#commit({ ...this.#state, minInsyncReplicas, eligibleReplicas });
  }

  /** Moves the leader to another live member of the ISR: balancing, or a leader that resigned. */
  moveLeader(leaderEpoch: number): void {
    if (leaderEpoch !== this.#state.leaderEpoch) return;
    const { leader } = this.#state;
    // Even when there is no other: the one that resigned needs a new epoch to lead again.
    this.#commit(
      this.#elect({ ...this.#state, leader: NO_NODE, leaderNodeEpoch: NO_NODE }, leader),
      "new-term",
    );
  }

  /** R12: a replica with a hole neither leads nor counts. */
  reportDamage(nodeId: number): void {
    this.#commit(this.#elect(withoutMember(this.#state, nodeId), NO_NODE));
  }

  proposeIsr(proposal: IsrProposal): IsrOutcome {
    const before = this.#state;
    const { added, isr, leaderEpoch, lostRecords, partitionEpoch } = proposal;
    if (leaderEpoch !== before.leaderEpoch) return { kind: "refused", reason: "fenced-leader-epoch" };
    if (partitionEpoch !== before.partitionEpoch && !this.#mutants.has("isr-without-compare")) {
      return { kind: "refused", reason: "stale-partition-epoch" };
    }
    const mayJoin = added.every(
      ({ nodeId, nodeEpoch }) =>
        this.#known.get(nodeId)?.nodeEpoch === nodeEpoch && this.nodeEpochOf(nodeId) === nodeEpoch,
    );
    if (!mayJoin && !this.#mutants.has("joins-unregistered")) {
      return { kind: "refused", reason: "ineligible-replica" };
    }
    const left = before.isr.filter((nodeId) => !isr.includes(nodeId));
    const eligible = [...before.eligibleReplicas, ...left].filter(
      (nodeId) => !isr.includes(nodeId) && !lostRecords.includes(nodeId),
    );
    const isSmall = isr.length < before.minInsyncReplicas;
    this.#commit({ ...before, isr, eligibleReplicas: isSmall ? eligible : [] }, "always");
    return { kind: "accepted", partitionEpoch: this.#state.partitionEpoch };
  }

  #elect(state: ModelPartition, notThisOne: number): ModelPartition {
    // A registration that was not dealt with yet may have come without its data (R9).
    const isLive = (nodeId: number): boolean => {
      const nodeEpoch = this.nodeEpochOf(nodeId);
      return nodeEpoch !== undefined && this.#known.get(nodeId)?.nodeEpoch === nodeEpoch;
    };
    if (state.isr.includes(state.leader) && this.nodeEpochOf(state.leader) === state.leaderNodeEpoch)
      return state;
    const fit = this.#mutants.has("unclean-election") ? state.replicas : state.isr;
    const preferred = state.replicas.find((id) => fit.includes(id) && isLive(id) && id !== notThisOne);
    const leader =
      preferred ??
      state.replicas.find((id) => state.isr.includes(id) && isLive(id)) ??
      state.replicas.find((id) => state.eligibleReplicas.includes(id) && isLive(id));
    if (leader === undefined) return { ...state, leader: NO_NODE, leaderNodeEpoch: NO_NODE };
    const elected = { ...state, leader, leaderNodeEpoch: this.nodeEpochOf(leader) ?? NO_NODE };
    if (state.isr.includes(leader)) return elected;
    const others = state.replicas.filter(
      (id) => id !== leader && (state.isr.includes(id) || state.eligibleReplicas.includes(id)),
    );
    return { ...elected, isr: [leader], eligibleReplicas: state.minInsyncReplicas > 1 ? others : [] };
  }

  #commit(after: ModelPartition, how: "changes" | "always" | "new-term" = "changes"): void {
    const before = this.#state;
    if (how === "changes" && JSON.stringify(after) === JSON.stringify(before)) return;
    const isSameLeader = after.leader === before.leader && after.leaderNodeEpoch === before.leaderNodeEpoch;
    const isNewTerm = !isSameLeader || how === "new-term";
    this.#state = {
      ...after,
      leaderEpoch: before.leaderEpoch + (isNewTerm ? 1 : 0),
      partitionEpoch: before.partitionEpoch + 1,
    };
    this.#keep();
  }

  #keep(): void {
    const nodes = new Map([...this.#registered].map(([nodeId, { nodeEpoch }]) => [nodeId, nodeEpoch]));
    this.history.push({ partition: this.#state, nodes });
  }
}

function withoutLostNode(state: ModelPartition, nodeId: number): ModelPartition {
  if (!state.isr.includes(nodeId) || state.isr.length === 1) return state;
  const isr = state.isr.filter((member) => member !== nodeId);
  const eligibleReplicas = isr.length >= state.minInsyncReplicas ? [] : [...state.eligibleReplicas, nodeId];
  return { ...state, isr, eligibleReplicas };
}

function withoutMember(state: ModelPartition, nodeId: number): ModelPartition {
  const isLeader = state.leader === nodeId;
  return {
    ...state,
    leader: isLeader ? NO_NODE : state.leader,
    leaderNodeEpoch: isLeader ? NO_NODE : state.leaderNodeEpoch,
    isr: state.isr.filter((member) => member !== nodeId),
    eligibleReplicas: state.eligibleReplicas.filter((member) => member !== nodeId),
  };
}
