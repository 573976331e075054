import {
  type MetadataKeys,
  nodeRegistrationCodec,
  type PartitionState,
  partitionStateCodec,
  storageNodeStateCodec,
  topicStateCodec,
  type WatchEvent,
} from "@ottla/metadata";
import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

/** A storage node as etcd knows it. */
interface KnownNode {
  nodeEpoch: number | undefined;
  /** Of the registration that the coordinator has dealt with last. */
  lastNodeEpoch: number | undefined;
  /** Of all partitions, when it registered. */
  partitionEpochs: ReadonlyMap<string, number>;
  directoryId: string | undefined;
  /** What the coordinator has dealt with. */
  knownDirectoryId: string | undefined;
}

/** The rules that the metadata itself can show, checked at every change in etcd. */
export class MetadataRules {
  readonly #simulation: Simulation;
  readonly #keys: MetadataKeys;
  readonly #partitions = new Map<string, PartitionState>();
  readonly #nodes = new Map<number, KnownNode>();
  readonly #leaders = new Map<string, string>();
  readonly #topicNames = new Map<string, string>();
  /** Topics that are being deleted: nobody looks after who could lead them. */
  readonly #going = new Set<string>();
  /** The revisions at which partitions were created, by name. */
  readonly #created = new Map<string, number>();
  /** Grows with each change. */
  version = 0;

  constructor(simulation: Simulation, keys: MetadataKeys) {
    this.#simulation = simulation;
    this.#keys = keys;
    simulation.etcd.hub.watch(
      keys.root,
      1,
      {
        onEvents: (events, revision) => this.#onEvents(events, revision),
        onLost: (reason) => simulation.scheduler.fail(reason),
      },
      (deliver) => deliver(),
    );
  }

  /** The state of a partition as etcd has it. */
  partition(name: string): PartitionState | undefined {
    return this.#partitions.get(name);
  }

  partitions(): Iterable<[string, PartitionState]> {
    return this.#partitions;
  }

  topicName(topicId: string): string {
    return this.#topicNames.get(topicId) ?? topicId;
  }

  /** The partition's epoch when the node registered so; undefined where that is not its last registration. */
  epochAtRegistration(nodeId: number, nodeEpoch: number, name: string): number | undefined {
    const node = this.#nodeOf(nodeId);
    return node.nodeEpoch === nodeEpoch ? node.partitionEpochs.get(name) : undefined;
  }

  /** The directory that the coordinator has dealt with last; undefined for a new node. */
  knownDirectoryOf(nodeId: number): string | undefined {
    return this.#nodes.get(nodeId)?.knownDirectoryId;
  }

  /** The registration that the coordinator has dealt with last; -1 for a new node. */
  lastNodeEpochOf(nodeId: number): number {
    return this.#nodes.get(nodeId)?.lastNodeEpoch ?? -1;
  }

  /** The newest registration, whether the coordinator has dealt with it or not. */
  newestNodeEpochOf(nodeId: number): number {
    return Math.max(this.lastNodeEpochOf(nodeId), this.#nodes.get(nodeId)?.nodeEpoch ?? -1);
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    this.version += 1;
    try {
      this.#fenced(events, revision);
      for (const event of events) this.#onEvent(event);
    } catch (thrown) {
      this.#simulation.scheduler.fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }

  /** R1: what the coordinator writes, it writes with the mark of its term, and in that term. */
  #fenced(events: readonly WatchEvent[], revision: number): void {
    const writes = events.filter((event) => this.#kindOf(event) === "partition");
    if (writes.length === 0) return;
    this.#simulation.checked("R1");
    const mark = events.find((event) => keyOf(event) === this.#keys.changed);
    const term = this.#simulation.etcd.keys.get(this.#keys.controller)?.createRevision;
    if (mark?.kind !== "put") broken("R1", `partitions changed at ${revision} without the mark of a term`);
    const written: unknown = JSON.parse(Buffer.from(mark.entry.value).toString());
    const { term: writer } = written as { term?: number };
    if (writer !== term) broken("R1", `the term ${writer} wrote at ${revision}, the elected one is ${term}`);
  }

  #onEvent(event: WatchEvent): void {
    const parsed = this.#keys.parse(keyOf(event));
    if (parsed?.kind === "partition") {
      const name = `${parsed.topicId}-${parsed.partition}`;
      if (event.kind === "delete") this.#partitions.delete(name);
      else {
        this.#created.set(name, event.entry.createRevision);
        this.#onPartition(name, partitionStateCodec.parse(event.entry.value, event.entry.key));
      }
    } else if (parsed?.kind === "node" && parsed.role === "partition-storage") {
      const node = this.#nodeOf(parsed.nodeId);
      node.nodeEpoch = event.kind === "delete" ? undefined : event.entry.createRevision;
      if (event.kind === "put") {
        node.directoryId = nodeRegistrationCodec.parse(event.entry.value, event.entry.key).directoryId;
        if (event.entry.modRevision === event.entry.createRevision) {
          node.partitionEpochs = new Map(
            this.#partitions.entries().map(([name, { partitionEpoch }]) => [name, partitionEpoch]),
          );
        }
      }
    } else if (parsed?.kind === "storage-node" && event.kind === "put") {
      const { directoryId, lastNodeEpoch } = storageNodeStateCodec.parse(event.entry.value, event.entry.key);
      this.#nodeOf(parsed.nodeId).lastNodeEpoch = lastNodeEpoch;
      this.#onDirectory(parsed.nodeId, directoryId);
    } else if (parsed?.kind === "topic" && event.kind === "put") {
      const { name, phase } = topicStateCodec.parse(event.entry.value, event.entry.key);
      this.#topicNames.set(parsed.topicId, name);
      if (phase === "deleting" || phase === "deleted") this.#going.add(parsed.topicId);
    }
  }

  #onPartition(name: string, state: PartitionState): void {
    const before = this.#partitions.get(name);
    this.#partitions.set(name, state);
    this.#simulation.say("metadata", () => `${name} ${JSON.stringify(state)}`);
    this.#wellFormed(name, state);
    if (before === undefined) return;
    this.#epochs(name, before, state);
    this.#takenAway(name, before, state);
    this.#minChanged(name, before, state);
    if (state.leader !== before.leader || state.leaderNodeEpoch !== before.leaderNodeEpoch) {
      this.#elected(name, before, state);
    }
    if (state.leaderEpoch === before.leaderEpoch) this.#joined(name, before, state);
  }

  /** R7: who joins the ISR is there, and the coordinator has dealt with that registration. */
  #joined(name: string, before: PartitionState, state: PartitionState): void {
    for (const nodeId of state.isr) {
      if (before.isr.includes(nodeId)) continue;
      this.#simulation.checked("R7");
      const { nodeEpoch, lastNodeEpoch } = this.#nodeOf(nodeId);
      if (nodeEpoch !== undefined && nodeEpoch === lastNodeEpoch) continue;
      broken("R7", `${name}: ${nodeId} joins as of ${nodeEpoch}, the coordinator knows ${lastNodeEpoch}`);
    }
  }

  #wellFormed(name: string, state: PartitionState): void {
    const { eligibleReplicas, isr, leader, minInsyncReplicas, replicas } = state;
    this.#simulation.checked("R4 metadata");
    const strangers = [...isr, ...eligibleReplicas].filter((nodeId) => !replicas.includes(nodeId));
    if (strangers.length > 0)
      broken("R4", `${name}: ${strangers.join()} are in sync or eligible and no replicas`);
    if (isr.some((nodeId) => eligibleReplicas.includes(nodeId))) {
      broken("R8", `${name}: a member of the ISR is eligible too: ${JSON.stringify(state)}`);
    }
    if (leader >= 0 && !isr.includes(leader)) broken("R8", `${name}: leader ${leader} is not in the ISR`);
    if (minInsyncReplicas > replicas.length) {
      broken("R4", `${name}: min.insync.replicas ${minInsyncReplicas} of ${replicas.length} replicas`);
    }
    if (isr.length >= minInsyncReplicas && eligibleReplicas.length > 0) {
      broken("R8", `${name}: eligible replicas beside an ISR that is large enough: ${JSON.stringify(state)}`);
    }
  }

  /** R2: one leader for an epoch, and it is one registration of a node. */
  #epochs(name: string, before: PartitionState, state: PartitionState): void {
    this.#simulation.checked("R2 metadata");
    if (state.partitionEpoch <= before.partitionEpoch) {
      broken("R1", `${name}: partition epoch ${state.partitionEpoch} follows ${before.partitionEpoch}`);
    }
    if (state.leaderEpoch < before.leaderEpoch) {
      broken("R2", `${name}: leader epoch ${state.leaderEpoch} follows ${before.leaderEpoch}`);
    }
    const term = `${name}/${state.leaderEpoch}`;
    const leader = `${state.leader}/${state.leaderNodeEpoch}`;
    const known = this.#leaders.get(term) ?? leader;
    if (known !== leader) broken("R2", `${term} is led by ${known} and by ${leader} (node/nodeEpoch)`);
    this.#leaders.set(term, leader);
  }

  /** R3: what a node acknowledged before its replica was taken away must not count for another. */
  #takenAway(name: string, before: PartitionState, state: PartitionState): void {
    const gone = before.replicas.filter((nodeId) => !state.replicas.includes(nodeId));
    if (gone.length === 0) return;
    this.#simulation.checked("R3 metadata");
    if (state.leaderEpoch > before.leaderEpoch) return;
    broken("R3", `${name}: ${gone.join()} is taken away, and the leader epoch ${state.leaderEpoch} goes on`);
  }

  /** R4: who was eligible under another min.insync.replicas is so no more, unless nobody is in sync. */
  #minChanged(name: string, before: PartitionState, state: PartitionState): void {
    if (state.minInsyncReplicas === before.minInsyncReplicas || before.isr.length === 0) return;
    this.#simulation.checked("R4 min changed");
    const kept = before.eligibleReplicas.filter((nodeId) => state.eligibleReplicas.includes(nodeId));
    if (kept.length === 0) return;
    broken(
      "R4",
      `${name}: min.insync.replicas is ${state.minInsyncReplicas} now, and ${kept.join()} are eligible still`,
    );
  }

  /** R8: from the ISR, then from the eligible replicas, then the sole last known leader. */
  #elected(name: string, before: PartitionState, state: PartitionState): void {
    const { leader } = state;
    if (leader < 0) return;
    this.#simulation.checked("R8");
    const fit = [...before.isr, ...before.eligibleReplicas];
    const isLast = fit.length === 0 && before.lastKnownLeader === leader;
    const isAwaited = before.awaitedNodeId === leader;
    if (fit.includes(leader) || isLast || isAwaited) return;
    broken("R8", `${name}: ${leader} was elected after ${JSON.stringify(before)}`);
  }

  /** R9: a node with another directory has left everywhere before it may come back. */
  #onDirectory(nodeId: number, directoryId: string): void {
    const node = this.#nodeOf(nodeId);
    const before = node.knownDirectoryId;
    node.knownDirectoryId = directoryId;
    if (before === undefined || before === directoryId || before === "") return;
    this.#simulation.checked("R9");
    for (const [name, { eligibleReplicas, isr }] of this.#partitions) {
      if (!isr.includes(nodeId) && !eligibleReplicas.includes(nodeId)) continue;
      if (this.#going.has(name.slice(0, name.lastIndexOf("-")))) continue;
      // One that was created when that directory was there already had nothing in the other one.
      if ((this.#created.get(name) ?? 0) > (node.nodeEpoch ?? 0)) continue;
      broken("R9", `${name}: node ${nodeId} came back with another directory and kept its place`);
    }
  }

  #nodeOf(nodeId: number): KnownNode {
    let node = this.#nodes.get(nodeId);
    if (node === undefined) {
      node = {
        nodeEpoch: undefined,
        lastNodeEpoch: undefined,
        partitionEpochs: new Map(),
        directoryId: undefined,
        knownDirectoryId: undefined,
      };
      this.#nodes.set(nodeId, node);
    }
    return node;
  }

  #kindOf(event: WatchEvent): string | undefined {
    return this.#keys.parse(keyOf(event))?.kind;
  }
}

function keyOf(event: WatchEvent): string {
  return event.kind === "put" ? event.entry.key : event.key;
}
