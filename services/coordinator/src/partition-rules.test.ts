import type { PartitionState } from "@ottla/metadata";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withoutDamagedReplica, withoutLeavingMember, withProposedIsr } from "./isr-rules.ts";
import { NO_MUTANTS } from "./mutants.ts";
import {
  changedState,
  newPartitionState,
  withElectedLeader,
  withMinInsyncReplicas,
  withoutLostNode,
  withPreferredLeader,
} from "./partition-leadership.ts";
import {
  isMoving,
  originalReplicas,
  targetReplicas,
  withCancelledReassignment,
  withCompletedReassignment,
  withReassignment,
} from "./reassignment-rules.ts";

const NODES = [1, 2, 3, 4, 5];

type Step =
  | { readonly kind: "lose" | "return" | "damage" | "leave" | "join" | "shrink"; readonly node: number }
  | { readonly kind: "move"; readonly target: readonly number[] }
  | { readonly kind: "cancel" | "prefer" }
  | { readonly kind: "min"; readonly value: number };

const node = fc.constantFrom(...NODES);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom("lose" as const, "return" as const, "join" as const, "shrink" as const),
      node,
    }),
    fc.record({ kind: fc.constantFrom("damage" as const, "leave" as const), node }),
    fc.record({
      kind: fc.constant("move" as const),
      target: fc.uniqueArray(node, { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ kind: fc.constantFrom("cancel" as const, "prefer" as const) }),
    fc.record({ kind: fc.constant("min" as const), value: fc.integer({ min: 1, max: 3 }) }),
  ),
  { maxLength: 40 },
);

/** A partition with its nodes, changed by the rules as the coordinator does it. */
class Partition {
  readonly live = new Map(NODES.map((nodeId) => [nodeId, nodeId * 10]));
  state: PartitionState;
  #min = 2;
  #nextEpoch = 100;

  constructor() {
    this.state = newPartitionState([1, 2, 3], this.#liveNodes, 2);
  }

  readonly #liveNodes = (nodeId: number): number | undefined => this.live.get(nodeId);

  run(step: Step): void {
    const before = this.state;
    const after = this.#apply(step);
    if (after === undefined) return;
    const completed = withMinInsyncReplicas(withCompletedReassignment(after, this.#min), this.#min);
    const elected = withElectedLeader(completed, this.#liveNodes);
    this.state = changedState(before, elected) ?? before;
  }

  #apply(step: Step): PartitionState | undefined {
    const { state } = this;
    switch (step.kind) {
      case "lose":
        this.live.delete(step.node);
        return withoutLostNode(state, step.node);
      case "return":
        if (!this.live.has(step.node)) this.live.set(step.node, this.#nextEpoch++);
        return state;
      case "damage":
        return withoutDamagedReplica(state, step.node);
      case "leave":
        return withoutLeavingMember(state, step.node);
      case "join":
        return this.#propose(new Set([...state.isr, step.node]));
      case "shrink":
        return this.#propose(new Set(state.isr.filter((nodeId) => nodeId !== step.node)));
      case "move":
        return withReassignment(state, step.target);
      case "cancel":
        return isMoving(state) ? withCancelledReassignment(state) : undefined;
      case "prefer":
        return withPreferredLeader(state, this.#liveNodes);
      case "min":
        this.#min = step.value;
        return withMinInsyncReplicas(state, step.value);
      default:
        return step satisfies never;
    }
  }

  #propose(isr: ReadonlySet<number>): PartitionState | undefined {
    const { state } = this;
    const leader = { nodeId: state.leader, nodeEpoch: state.leaderNodeEpoch };
    const added = [...isr]
      .filter((nodeId) => !state.isr.includes(nodeId))
      .map((nodeId) => ({ nodeId, nodeEpoch: this.live.get(nodeId) ?? 0 }));
    const { leaderEpoch, partitionEpoch } = state;
    const proposal = { leader, leaderEpoch, partitionEpoch, isr: [...isr], added, lostRecords: [] };
    const mayJoin = ({ nodeId, nodeEpoch }: { nodeId: number; nodeEpoch: number }) =>
      this.live.get(nodeId) === nodeEpoch;
    const decided = withProposedIsr(state, proposal, mayJoin, NO_MUTANTS);
    return typeof decided === "string" ? undefined : decided;
  }
}

/** What is wrong with a state that came out of the one before. */
function problems(before: PartitionState, after: PartitionState, partition: Partition): string[] {
  const { replicas, isr, eligibleReplicas, leader, addingReplicas = [], removingReplicas = [] } = after;
  const isWithinReplicas = [isr, eligibleReplicas, addingReplicas, removingReplicas].every(
    (group) => group.every((id) => replicas.includes(id)) && new Set(group).size === group.length,
  );
  const isLed = leader >= 0;
  const isSameLeader = before.leader === leader && before.leaderNodeEpoch === after.leaderNodeEpoch;
  const isSameTerm = isSameLeader && before.replicas.every((id) => replicas.includes(id));
  const rules: Record<string, boolean> = {
    "all are replicas, none twice": isWithinReplicas,
    "nobody is in sync and eligible": !isr.some((id) => eligibleReplicas.includes(id)),
    "nobody comes and goes": !addingReplicas.some((id) => removingReplicas.includes(id)),
    "R4: nobody is eligible once something may be acknowledged without him":
      isr.length < after.minInsyncReplicas || eligibleReplicas.length === 0,
    "R4: min.insync.replicas is not above the replicas": after.minInsyncReplicas <= replicas.length,
    "R8: a leader is in sync": !isLed || isr.includes(leader),
    "R2: a leader leads in its present registration":
      !isLed || partition.live.get(leader) === after.leaderNodeEpoch,
    "there is somewhere to go, and to go back to":
      targetReplicas(after).length > 0 && originalReplicas(after).length > 0,
    "every change is a new partition epoch": after === before || after.partitionEpoch > before.partitionEpoch,
    "a new leader, or a replica taken away, is a new leader epoch":
      after.leaderEpoch === before.leaderEpoch + (isSameTerm ? 0 : 1),
  };
  return Object.keys(rules).filter((rule) => rules[rule] === false);
}

describe("the rules of a partition", () => {
  it("hold together, whatever happens in whatever order", () => {
    fc.assert(
      fc.property(steps, (events) => {
        const partition = new Partition();
        for (const step of events) {
          const before = partition.state;
          partition.run(step);
          expect(problems(before, partition.state, partition)).toEqual([]);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("end every move once all nodes are there and in sync", () => {
    fc.assert(
      fc.property(steps, (events) => {
        const partition = new Partition();
        for (const step of events) if (step.kind !== "damage") partition.run(step);
        for (const nodeId of NODES) partition.run({ kind: "return", node: nodeId });
        for (const nodeId of partition.state.replicas) partition.run({ kind: "join", node: nodeId });
        expect(partition.state.leader).toBeGreaterThanOrEqual(0);
        expect(isMoving(partition.state)).toBe(false);
        expect(new Set(partition.state.isr)).toEqual(new Set(partition.state.replicas));
      }),
      { numRuns: 1000 },
    );
  });
});
