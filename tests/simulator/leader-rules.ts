import type { SegmentedLog } from "@ottla/log";
import type { PartitionReplica } from "@ottla/partition-storage";
import type { LeaderState, ReplicaState } from "@ottla/replication";
import type { StorageMachine } from "./cluster.ts";
import type { DiskReplicas } from "./disk-replicas.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

/** One leadership, from the first look at it on. */
interface LeadershipSeen {
  /** Up to where the acknowledgements of each follower were found to be true. */
  readonly verified: Map<number, number>;
  proposalId: number | undefined;
  /** Since the lease was found to be gone: what had been appended and proposed by then. */
  withoutLease: { readonly endOffset: number; readonly proposalId: number | undefined } | undefined;
}

export interface LeaderRulesOptions {
  readonly simulation: Simulation;
  readonly metadata: MetadataRules;
  readonly disks: DiskReplicas;
  readonly machines: readonly StorageMachine[];
  /** A leader asks for another ISR. */
  readonly onProposal: (nodeId: number) => void;
}

/** What a leader may count, ask for and take: R3, R4, R10 and R12, after every event that reached it. */
export class LeaderRules {
  readonly #options: LeaderRulesOptions;
  readonly #seen = new WeakMap<LeaderState, LeadershipSeen>();

  constructor(options: LeaderRulesOptions) {
    this.#options = options;
  }

  check(nodeId: number, name: string, replica: PartitionReplica, leader: LeaderState): void {
    const { leader: serving, log, open } = replica;
    if (serving === undefined || log === undefined) return;
    if (open?.state.isUnfitToLead === true && leader.term.replicas.length > 1) {
      broken("R12", `node ${nodeId} leads ${name} and has lost records of it`);
    }
    const seen = this.#seen.get(leader) ?? {
      verified: new Map(),
      proposalId: undefined,
      withoutLease: undefined,
    };
    this.#seen.set(leader, seen);
    this.#checkLease(nodeId, name, { leader, log, seen });
    const proposalId = leader.isr.attempt?.proposalId;
    const isNew = proposalId !== undefined && proposalId !== seen.proposalId;
    if (isNew) this.#options.onProposal(nodeId);
    seen.proposalId = proposalId;
    const state = this.#options.metadata.partition(name);
    // One that was replaced and has not heard of it counts what does not count any more.
    if (state?.leaderEpoch !== leader.leaderEpoch || state.leader !== nodeId) return;
    if (isNew) this.#checkAdded(nodeId, name, leader, log);
    for (const member of state.isr) {
      if (leader.maximalIsr.has(member)) continue;
      broken("R4", `node ${nodeId} leads ${name} and does not count ${member}, which is in the ISR`);
    }
    for (const follower of state.replicas) {
      if (follower !== nodeId) this.#checkAcknowledged(nodeId, follower, name, { leader, log, seen });
    }
  }

  /**
   * R7, R14: who is to join the ISR has come to the high watermark, to the start of the epoch and to the log
   * start, and the registration as which it is to join is the one that has come there.
   */
  #checkAdded(nodeId: number, name: string, leader: LeaderState, log: SegmentedLog): void {
    const { disks, simulation } = this.#options;
    for (const { nodeId: added, nodeEpoch } of leader.isr.attempt?.added ?? []) {
      simulation.checked("R7 proposed");
      const who = `node ${nodeId} leads ${name} and asks for ${added} in the ISR`;
      const acknowledged = leader.acknowledgedEndOffset(added) ?? -1;
      const needed = Math.max(leader.highWatermark, leader.epochStartOffset);
      if (acknowledged < needed) broken("R7", `${who}, which is at ${acknowledged} and not at ${needed}`);
      const { node, term } = this.#stateOf(added, name) ?? {};
      if (node?.nodeEpoch === nodeEpoch && (term?.leaderEpoch ?? -1) < leader.leaderEpoch) {
        broken("R7", `${who} as of ${nodeEpoch}, as which it is in epoch ${term?.leaderEpoch ?? "none"}`);
      }
      if (disks.isExcused(added, name) || disks.isExcused(nodeId, name)) continue;
      const logStart = disks.logStart(added, name);
      if (logStart < log.logStartOffset) {
        broken("R14", `${who}, which begins at ${logStart} and not at ${log.logStartOffset}`);
      }
    }
  }

  /** R10: no other ISR, and nothing for less than all in-sync replicas. */
  #checkLease(nodeId: number, name: string, { leader, log, seen }: Leading): void {
    const proposalId = leader.isr.attempt?.proposalId;
    if (leader.hasLease) seen.withoutLease = undefined;
    else if (seen.withoutLease === undefined) seen.withoutLease = { endOffset: log.logEndOffset, proposalId };
    else {
      const { simulation, disks } = this.#options;
      simulation.checked("R10");
      if (proposalId !== undefined && proposalId !== seen.withoutLease.proposalId) {
        broken("R10", `node ${nodeId} has no lease and proposes an ISR of ${name}`);
      }
      const { endOffset } = seen.withoutLease;
      if (log.writtenEndOffset <= endOffset) return;
      const weak = disks.isInternal(name) ? undefined : disks.weakBatch(nodeId, name, endOffset);
      if (weak !== undefined)
        broken("R10", `node ${nodeId} has no lease and took ${weak} of ${name} for less`);
      seen.withoutLease = { endOffset: log.writtenEndOffset, proposalId };
    }
  }

  /** R3: what a follower has acknowledged is on its disk, and is what the leader has there. */
  #checkAcknowledged(nodeId: number, follower: number, name: string, leading: Leading): void {
    const { leader, log, seen } = leading;
    const acknowledged = leader.acknowledgedEndOffset(follower);
    const verified = seen.verified.get(follower) ?? 0;
    // What a new leader had got as a follower may be on its way to its own disk still.
    const toOffset = Math.min(acknowledged ?? 0, log.writtenEndOffset);
    if (acknowledged === undefined || toOffset <= verified) return;
    const { disks, simulation } = this.#options;
    const epoch = this.#stateOf(follower, name)?.term?.leaderEpoch;
    if (epoch !== undefined && epoch < leader.leaderEpoch) {
      broken(
        "R2",
        `node ${nodeId} leads ${name} in ${leader.leaderEpoch} and counts what ${follower} said in ${epoch}`,
      );
    }
    const isExcused = disks.isExcused(follower, name) || disks.isExcused(nodeId, name);
    if (isExcused || this.#isTakenOutUnseen(follower, name, leader)) {
      // What it had said of a disk that is lost is not looked at again when its node is back.
      seen.verified.set(follower, toOffset);
      return;
    }
    simulation.checked("R3");
    const why = disks.disagreement(nodeId, follower, name, { fromOffset: verified, toOffset });
    if (why !== undefined) {
      broken(
        "R3",
        `node ${follower} has acknowledged ${name} up to ${acknowledged} to node ${nodeId}, and ${why}`,
      );
    }
    seen.verified.set(follower, toOffset);
  }

  /** A leader that lags behind the metadata may hear late what a disk held that is lost since. */
  #isTakenOutUnseen(follower: number, name: string, leader: LeaderState): boolean {
    const state = this.#options.metadata.partition(name);
    if (state === undefined || state.partitionEpoch <= leader.term.partitionEpoch) return false;
    return ![...state.isr, ...state.eligibleReplicas].includes(follower);
  }

  /** What a node that runs knows of its replica. */
  #stateOf(nodeId: number, name: string): ReplicaState | undefined {
    for (const replica of this.#options.machines[nodeId]?.node.replicas() ?? []) {
      if (`${replica.topicId}-${replica.partition}` === name) return replica.open?.state;
    }
    return undefined;
  }
}

interface Leading {
  readonly leader: LeaderState;
  readonly log: SegmentedLog;
  readonly seen: LeadershipSeen;
}
