import type { PartitionState } from "@ottla/metadata";
import type { PartitionReplica } from "@ottla/partition-storage";
import type { ReplicaState } from "@ottla/replication";
import type { StorageMachine } from "./cluster.ts";
import type { CommittedLog, DiskReplicas } from "./disk-replicas.ts";
import { LeaderRules } from "./leader-rules.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

interface KnownReplica {
  readonly name: string;
  readonly committed: CommittedLog;
}

interface WhoLeads extends KnownReplica {
  readonly nodeId: number;
  readonly run: number;
}

interface TermSeen {
  readonly term: string;
  /** The one leadership of that term. */
  state: object | undefined;
  readonly leader: string;
  highWatermark: number;
  /** That the leader knew of when it was last looked at. */
  partitionEpoch: number;
}

export interface ReplicaRulesOptions {
  readonly simulation: Simulation;
  readonly metadata: MetadataRules;
  readonly disks: DiskReplicas;
  readonly machines: readonly StorageMachine[];
  /** A leader asks for another ISR. */
  readonly onProposal: (nodeId: number) => void;
}

/** How often the disks of all members are looked at, whatever happened, in virtual time. */
const FULL_CHECK_MS = 50;

/**
 * The rules about replicas, checked after every event: what is in memory of the nodes,
 * and what is on their disks.
 */
export class ReplicaRules {
  readonly #options: ReplicaRulesOptions;
  readonly #terms = new Map<string, TermSeen>();
  /** The latest offset that was told, by partition, with its epoch. */
  readonly #latest = new Map<string, { epoch: number; offset: number }>();
  readonly #leaderRules: LeaderRules;
  /** Of each node's present run, by node. */
  readonly #firstEpochs: { readonly run: number; readonly nodeEpoch: number }[] = [];
  /** Names and terms are looked up so often that finding them must cost nothing. */
  readonly #known = new WeakMap<PartitionReplica, KnownReplica>();
  readonly #seenOf = new WeakMap<object, TermSeen>();
  /** The states that led when they were last looked at. */
  readonly #leading = new WeakSet<object>();
  readonly #activity = new Map<number, number>();
  #metadataVersion = -1;
  #fullCheckMs = 0;

  constructor(options: ReplicaRulesOptions) {
    this.#options = options;
    this.#leaderRules = new LeaderRules(options);
  }

  /**
   * Of everything that nodes hold in memory, and of the disks where something was
   * committed or changed its members.
   */
  check(): void {
    const { machines, metadata, simulation } = this.#options;
    const grown = new Set<string>();
    for (const { node } of machines) {
      const { process, runs } = node;
      // Nothing reached it, so nothing has changed in it.
      const activity = process === undefined ? -1 : runs + process.entries / 2 ** 32;
      if (this.#activity.get(node.nodeId) === activity) continue;
      this.#activity.set(node.nodeId, activity);
      for (const replica of node.replicas()) {
        if (this.#checkReplica(node.nodeId, node.runs, replica)) grown.add(this.#knownOf(replica).name);
      }
    }
    const isDue = metadata.version !== this.#metadataVersion || simulation.nowMs >= this.#fullCheckMs;
    if (!isDue && grown.size === 0) return;
    if (isDue) {
      this.#metadataVersion = metadata.version;
      this.#fullCheckMs = simulation.nowMs + FULL_CHECK_MS;
    }
    for (const [name, state] of metadata.partitions()) {
      if (isDue || grown.has(name)) this.#checkMembers(name, state);
    }
  }

  /** At the end: the same records below the high watermark on every replica. */
  checkIdentical(): void {
    const { disks, metadata } = this.#options;
    for (const [name, { replicas }] of metadata.partitions()) {
      for (const nodeId of replicas) {
        if (!disks.isExcused(nodeId, name)) this.#holds(nodeId, name, "replicas alike");
      }
    }
  }

  /** Whether the replica's high watermark has committed more. */
  #checkReplica(nodeId: number, run: number, replica: PartitionReplica): boolean {
    const state = replica.open?.state;
    if (state === undefined) return false;
    const { name, committed } = this.#knownOf(replica);
    const before = committed.endOffset;
    const { role, highWatermark } = state;
    this.#checkView(nodeId, run, name, state);
    if (role.kind === "leader") {
      this.#leaderRules.check(nodeId, name, replica, role.leader);
      this.#checkLeader({ nodeId, run, name, committed }, role.leader);
      this.#leading.add(state);
    } else {
      if (replica.leader !== undefined) {
        broken("R15", `node ${nodeId} serves ${name} as leader and is ${role.kind}`);
      }
      // The last that it did as leader, in the turn in which it heard that it is not any more; one that hears
      // late of several terms may lead in one of them for a part of a turn only.
      const isr = this.#options.metadata.partition(name)?.isr ?? [];
      const hasLed = this.#leading.delete(state) || (isr.length === 1 && isr[0] === nodeId);
      if (hasLed && highWatermark > committed.endOffset) {
        this.#commit(nodeId, name, { committed, highWatermark, isr });
      }
    }
    if (highWatermark > committed.endOffset) {
      broken(
        "R5",
        `node ${nodeId} shows ${name} up to ${highWatermark}, committed is ${committed.endOffset}`,
      );
    }
    return committed.endOffset > before;
  }

  /** R6: what a node did before its restart it did in views that are older than its registration. */
  #checkView(nodeId: number, run: number, name: string, { node, term }: ReplicaState): void {
    if (term === undefined) return;
    const runs = this.#firstEpochs[nodeId] ?? { run: -1, nodeEpoch: -1 };
    if (runs.run !== run) this.#firstEpochs[nodeId] = { run, nodeEpoch: node.nodeEpoch };
    // Who registers again without a restart remembers what it did.
    if (this.#firstEpochs[nodeId]?.nodeEpoch !== node.nodeEpoch) return;
    const known = this.#options.metadata.epochAtRegistration(nodeId, node.nodeEpoch, name);
    if (known === undefined || term.partitionEpoch >= known) return;
    broken(
      "R6",
      `node ${nodeId} acts on epoch ${term.partitionEpoch} of ${name}, at its start it was ${known}`,
    );
  }

  #checkLeader({ nodeId, run, name, committed }: WhoLeads, leader: LeaderSeen): void {
    const { simulation } = this.#options;
    const { highWatermark, leaderEpoch } = leader;
    const seen = this.#seenOf.get(leader) ?? this.#termOf(name, leaderEpoch, `node ${nodeId}, run ${run}`);
    this.#seenOf.set(leader, seen);
    const { term } = seen;
    if (highWatermark < seen.highWatermark) {
      broken("R4", `the high watermark of ${term} went from ${seen.highWatermark} to ${highWatermark}`);
    }
    if (seen.state === undefined) seen.state = leader;
    else if (seen.state !== leader && leader.term.replicas.length > 1) {
      broken("R2", `${seen.leader} leads ${term} twice, with two logs`);
    }
    this.#checkLatest(name, leader);
    const { isr, minInsyncReplicas, partitionEpoch } = leader.term;
    // It may have advanced and then heard of another ISR, in one turn.
    const knewIsr = seen.partitionEpoch === partitionEpoch;
    seen.partitionEpoch = partitionEpoch;
    if (highWatermark === seen.highWatermark) return;
    seen.highWatermark = highWatermark;
    simulation.checked("R4");
    if (highWatermark <= committed.endOffset) return;
    if (knewIsr && isr.length < minInsyncReplicas) {
      broken(
        "R4",
        `${term} advances to ${highWatermark} with ISR ${isr.join()}, min.insync.replicas ${minInsyncReplicas}`,
      );
    }
    this.#commit(nodeId, name, { committed, highWatermark, isr });
  }

  /** R2: nobody else has led in that epoch. */
  #termOf(name: string, leaderEpoch: number, leader: string): TermSeen {
    const term = `${name}/${leaderEpoch}`;
    const seen = this.#terms.get(term) ?? {
      term,
      state: undefined,
      leader,
      highWatermark: 0,
      partitionEpoch: -1,
    };
    this.#terms.set(term, seen);
    if (seen.leader !== leader) broken("R2", `${term} is led by ${seen.leader} and by ${leader}`);
    return seen;
  }

  #knownOf(replica: PartitionReplica): KnownReplica {
    let known = this.#known.get(replica);
    if (known === undefined) {
      const name = `${replica.topicId}-${replica.partition}`;
      known = { name, committed: this.#options.disks.committed(name) };
      this.#known.set(replica, known);
    }
    return known;
  }

  /** R5: "latest" never goes back, over all terms. */
  #checkLatest(name: string, leader: LeaderSeen): void {
    const offset = leader.latestOffset();
    if (offset === undefined) return;
    const told = this.#latest.get(name);
    if (told !== undefined && told.epoch < leader.leaderEpoch && told.offset > offset) {
      broken(
        "R5",
        `"latest" of ${name} was ${told.offset} in epoch ${told.epoch}, is ${offset} in ${leader.leaderEpoch}`,
      );
    }
    if (told === undefined || told.epoch <= leader.leaderEpoch) {
      this.#latest.set(name, { epoch: leader.leaderEpoch, offset });
    }
  }

  #commit(nodeId: number, name: string, { committed, highWatermark, isr }: Committing): void {
    const { disks, simulation } = this.#options;
    let offset = committed.endOffset;
    if (committed.batches.length === 0) offset = disks.firstOffset(nodeId, name);
    while (offset < highWatermark) {
      const batch = disks.batchAt(nodeId, name, offset, isr);
      if (batch === undefined || batch.baseOffset !== offset) {
        broken("R4", `node ${nodeId} has no batch at ${offset} of ${name}, below its high watermark`);
      }
      committed.batches.push(batch);
      offset = batch.lastOffset + 1;
    }
    committed.endOffset = offset;
    simulation.say("committed", () => `${name} up to ${offset} by node ${nodeId}`);
  }

  /** R4, R8: who is in sync or eligible has on disk all that was committed. */
  #checkMembers(name: string, state: PartitionState): void {
    const { disks, machines } = this.#options;
    for (const { node } of machines) {
      const { nodeId } = node;
      const isMember = state.isr.includes(nodeId) || state.eligibleReplicas.includes(nodeId);
      disks.reviewExcuse(nodeId, name, isMember);
      if (!isMember || disks.isExcused(nodeId, name)) continue;
      this.#holds(nodeId, name, "R4");
      this.#hasDeleted(nodeId, name);
    }
  }

  /** R14: who may lead does not bring back what somebody was told is deleted. */
  #hasDeleted(nodeId: number, name: string): void {
    const { disks, simulation } = this.#options;
    const deletedTo = disks.deletedTo(name);
    if (deletedTo === 0) return;
    simulation.checked("R14 on disk");
    const logStart = disks.logStart(nodeId, name);
    if (logStart >= deletedTo) return;
    broken(
      "R14",
      `node ${nodeId} is a member of ${name} and begins at ${logStart}, deleted is to ${deletedTo}`,
    );
  }

  #holds(nodeId: number, name: string, rule: string): void {
    const { disks, simulation } = this.#options;
    simulation.checked(`${rule} on disk`);
    const why = disks.lacks(nodeId, name);
    if (why !== undefined) broken(rule, `node ${nodeId} is a member of ${name} and ${why}`);
  }
}

interface Committing {
  readonly committed: CommittedLog;
  readonly highWatermark: number;
  /** As the leader knows it, if it still leads; as the metadata has it, if not. */
  readonly isr: readonly number[];
}

/** What the rules look at in a leader's state. */
interface LeaderSeen {
  readonly leaderEpoch: number;
  readonly highWatermark: number;
  readonly term: {
    readonly replicas: readonly number[];
    readonly isr: readonly number[];
    readonly minInsyncReplicas: number;
    readonly partitionEpoch: number;
  };
  latestOffset(): number | undefined;
}
