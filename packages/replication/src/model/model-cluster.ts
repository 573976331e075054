import type { Mutant } from "../mutants.ts";
import type { ReplicaState } from "../replica-state.ts";
import { ModelChecks } from "./model-checks.ts";
import { type CoordinatorMutant, ModelCoordinator } from "./model-coordinator.ts";
import { LAG_TIME_MAX_MS, type ModelMessage, ModelNode, type ModelWorld } from "./model-node.ts";
import { SeededChoices } from "./seeded-choices.ts";

export type ModelMutant = Exclude<Mutant, OfStorage> | CoordinatorMutant;

/** Bugs in what uses the state machines: the model has no owners, no answers to deletions, no directories. */
type OfStorage = "former-owner-accepted" | "deletion-not-awaited" | "lost-directory-unnoticed";

const NODE_IDS = [1, 2, 3];

/** Beyond it the oldest messages are lost: as a broken stream loses them. */
const MAX_MESSAGES = 60;

/**
 * Three nodes, a coordinator and a network that loses, repeats and reorders; everything
 * that happens is chosen by one seed.
 */
export class ModelCluster implements ModelWorld {
  readonly choices: SeededChoices;
  readonly coordinator: ModelCoordinator;
  readonly checks = new ModelChecks();
  readonly mutants: ReadonlySet<Mutant>;
  readonly nodes: readonly ModelNode[];
  readonly #messages: ModelMessage[] = [];
  nowMs = 0;
  /** Reaches the metadata store rarely, in about half of all runs: it leads on when another does already. */
  readonly #laggard: number;
  #lastValue = 0;
  #lastDirectoryId = 100;

  constructor(seed: number, mutant: ModelMutant | undefined) {
    this.choices = new SeededChoices(seed);
    // Each side asks for the names that it knows.
    this.mutants = new Set(mutant === undefined ? [] : [mutant as Mutant]);
    const coordinatorMutants = new Set(mutant === undefined ? [] : [mutant as CoordinatorMutant]);
    this.#laggard = this.choices.between(1, 2 * NODE_IDS.length);
    const minInsyncReplicas = this.choices.happens(0.7) ? 2 : 1;
    this.coordinator = new ModelCoordinator(NODE_IDS, minInsyncReplicas, coordinatorMutants);
    this.nodes = NODE_IDS.map((nodeId) => new ModelNode(nodeId, this));
    for (const node of this.nodes) node.start(0);
    this.coordinator.round();
    for (const node of this.nodes) node.see(this.coordinator.history.length - 1);
  }

  send(message: ModelMessage): void {
    this.#messages.push(message);
    if (this.#messages.length > MAX_MESSAGES) this.#drop(this.#messages.shift());
  }

  check(): void {
    this.checks.state(this.coordinator.partition, this.nodes);
  }

  append(): void {
    const node = this.#pick((candidate) => candidate.replica?.role.kind === "leader");
    const values = Array.from({ length: this.choices.between(1, 3) }, () => {
      this.#lastValue += 1;
      return this.#lastValue;
    });
    node?.append(values, this.choices.happens(0.8) ? "all" : "leader");
  }

  sync(): void {
    const node = this.#pick(({ log }) => log.syncedEndOffset < log.logEndOffset);
    if (node === undefined) return;
    const isPartial = this.choices.happens(0.4);
    const { logEndOffset, syncedEndOffset } = node.log;
    node.log.sync(isPartial ? this.choices.between(syncedEndOffset + 1, logEndOffset) : logEndOffset);
    node.logProgressed();
  }

  /** Mostly in order, as on streams; the rest shows that nothing relies on it. */
  deliver(): void {
    const index = this.choices.happens(0.6) ? 0 : this.choices.between(0, this.#messages.length - 1);
    const message = this.#messages[index];
    if (message === undefined) return;
    if (!this.choices.happens(0.08)) this.#messages.splice(index, 1);
    this.#receive(message);
  }

  lose(): boolean {
    const index = this.choices.between(0, this.#messages.length - 1);
    const message = this.#messages.splice(index, 1)[0];
    this.#drop(message);
    return message !== undefined;
  }

  pump(): void {
    const node = this.#pick(({ replica }) => replica?.role.kind === "leader");
    node?.pump(this.choices.pick(NODE_IDS) ?? 1, this.choices.between(0, 8));
  }

  tick(): void {
    this.nowMs += this.choices.between(1, LAG_TIME_MAX_MS / 3);
    for (const node of this.nodes) {
      const isNeeded = node.replica?.needsTicks === true;
      const effects = node.replica?.onTick(this.nowMs) ?? [];
      // Services leave out ticks that are not needed. Bugs on purpose are for the rules to find.
      const wasMissed = !isNeeded && effects.length > 0 && this.mutants.size === 0;
      if (wasMissed) throw new Error(`a tick was needed for ${effects[0]?.kind}`);
      node.do(effects);
    }
  }

  seeMetadata(): void {
    const newest = this.coordinator.history.length - 1;
    const node = this.#pick(({ viewIndex }) => viewIndex < newest);
    if (node === undefined || this.#isCutOff(node)) return;
    node.see(this.choices.between(node.viewIndex + 1, newest));
  }

  reconnect(): void {
    this.#pick(({ isAlive }) => isAlive)?.reconnect();
  }

  finishTruncation(): void {
    this.#pick(({ truncation }) => truncation !== undefined)?.finishTruncation();
  }

  checkpoint(): void {
    const node = this.#pick(({ isAlive }) => isAlive);
    if (node?.replica !== undefined) node.checkpointedHighWatermark = node.replica.highWatermark;
  }

  deleteRecords(): void {
    const node = this.#pick(({ replica }) => replica?.role.kind === "leader");
    if (node?.replica === undefined) return;
    const { log, replica } = node;
    const offset = this.choices.between(
      log.logStartOffset,
      Math.max(log.logStartOffset, replica.highWatermark),
    );
    log.deleteBefore(offset);
    node.logProgressed();
  }

  crash(): boolean {
    const node = this.#pick(({ isAlive }) => isAlive);
    node?.crash();
    return node !== undefined;
  }

  crashAll(): boolean {
    for (const node of this.nodes) if (node.isAlive) node.crash();
    return true;
  }

  restart(): void {
    this.#pick(({ isAlive }) => !isAlive)?.start(this.#viewAtStart());
  }

  /**
   * Of a node that is down, and never of the last that holds what was acknowledged: no
   * rule could bring that back.
   */
  loseDirectory(): boolean {
    const node = this.#pick(({ isAlive }) => !isAlive);
    if (node === undefined || !this.#mayLose(node)) return false;
    this.#lastDirectoryId += 1;
    node.loseDirectory(this.#lastDirectoryId);
    return true;
  }

  damage(): boolean {
    const node = this.#pick(({ isAlive, truncation }) => isAlive && truncation === undefined);
    if (node === undefined || node.log.logEndOffset === node.log.logStartOffset || !this.#mayLose(node))
      return false;
    node.damage(this.choices.between(node.log.logStartOffset, node.log.logEndOffset - 1));
    return true;
  }

  failLog(): boolean {
    const node = this.#pick(({ isAlive }) => isAlive);
    node?.failLog();
    return node !== undefined;
  }

  loseLease(): boolean {
    const node = this.#pick(({ hasLease, isAlive }) => isAlive && hasLease);
    if (node?.replica === undefined) return false;
    node.hasLease = false;
    node.do(node.replica.onLease(false, this.nowMs));
    return true;
  }

  regainLease(): void {
    const node = this.#pick(({ hasLease, isAlive }) => isAlive && !hasLease);
    if (node?.replica === undefined || this.#isCutOff(node)) return;
    if (this.coordinator.nodeEpochOf(node.nodeId) === node.nodeEpoch) {
      node.gainLease();
    } else node.registerAgain();
  }

  /** Mostly of nodes that are gone or know that their lease is; sometimes one that thinks it has it. */
  expireLease(): boolean {
    const isEarly = this.choices.happens(0.2);
    const node = this.#pick(({ hasLease, nodeId }) => {
      return (isEarly || !hasLease) && this.coordinator.nodeEpochOf(nodeId) !== undefined;
    });
    if (node === undefined) return false;
    this.coordinator.expire(node.nodeId);
    return isEarly;
  }

  /** A node whose registration was taken away while it ran finds out. */
  noticeExpiry(): void {
    const node = this.#pick(
      ({ hasLease, isAlive, nodeEpoch, nodeId }) =>
        isAlive && hasLease && this.coordinator.nodeEpochOf(nodeId) !== nodeEpoch,
    );
    if (node !== undefined && !this.#isCutOff(node)) node.registerAgain();
  }

  round(): void {
    this.coordinator.round();
  }

  moveLeader(): boolean {
    this.coordinator.moveLeader(this.coordinator.partition.leaderEpoch);
    return true;
  }

  /**
   * Not while a replica's losses are being dealt with: the lower one would give up who else has everything.
   */
  changeMinInsyncReplicas(): boolean {
    if (this.nodes.some(({ isExcused }) => isExcused)) return false;
    this.coordinator.setMinInsyncReplicas(this.choices.between(1, 2));
    return true;
  }

  /** Faults are over: after some rounds all is as it should be, or something is stuck. */
  heal(trace?: (line: string) => void): void {
    for (const node of this.nodes) if (!node.isAlive) node.start(this.#viewAtStart());
    for (let round = 0; round < 80 && !this.#isHealthy(round); round += 1) {
      this.nowMs += 200;
      for (const node of this.nodes) {
        if (this.coordinator.nodeEpochOf(node.nodeId) !== node.nodeEpoch) node.registerAgain();
        else if (!node.hasLease) node.gainLease();
      }
      this.coordinator.round();
      for (const node of this.nodes) this.#healNode(node, round);
      for (let count = this.#messages.length; count > 0; count -= 1) {
        const message = this.#messages.shift();
        if (message !== undefined) this.#receive(message);
      }
      trace?.(`healing: ${this.describe()}`);
      this.check();
    }
    if (!this.#isHealthy(80)) throw new Error(`the partition does not recover: ${this.describe()}`);
  }

  describe(): string {
    const nodes = this.nodes.map(({ isExcused, log, nodeId, replica }) => {
      const { role } = replica ?? {};
      const what = role?.kind === "follower" ? role.follower.phase : role?.kind;
      const offsets = `${log.logStartOffset}..${log.syncedEndOffset}..${log.logEndOffset}`;
      const marks = `${replica?.isUnfitToLead ? " unfit" : ""}${isExcused ? " excused" : ""}`;
      return `node ${nodeId} ${what} ${offsets} hw ${replica?.highWatermark}${marks}`;
    });
    return `${nodes.join("; ")}; ${JSON.stringify(this.coordinator.partition)}`;
  }

  #healNode(node: ModelNode, round: number): void {
    node.see(this.coordinator.history.length - 1);
    node.finishTruncation();
    if (round % 8 === 0) node.reconnect();
    node.log.sync(node.log.logEndOffset);
    node.logProgressed();
    node.do(node.replica?.onTick(this.nowMs) ?? []);
    for (const nodeId of NODE_IDS) node.pump(nodeId, 50);
  }

  #isHealthy(round: number): boolean {
    const { isr, leader } = this.coordinator.partition;
    const end = this.nodes.find(({ nodeId }) => nodeId === leader)?.log.logEndOffset;
    if (round < 10 || isr.length < NODE_IDS.length) return false;
    return this.nodes.every(
      ({ isExcused, log, replica }) =>
        log.logEndOffset === end && replica?.highWatermark === end && !isExcused && !replica.isUnfitToLead,
    );
  }

  #mayLose(node: ModelNode): boolean {
    const { eligibleReplicas, isr, minInsyncReplicas } = this.coordinator.partition;
    const holders = [...isr, ...eligibleReplicas];
    if (minInsyncReplicas < 2 || this.nodes.some(({ isExcused }) => isExcused)) return false;
    return holders.some((nodeId) => nodeId !== node.nodeId);
  }

  #receive(message: ModelMessage): void {
    if (message.kind !== "proposal") {
      this.nodes.find(({ nodeId }) => nodeId === message.to)?.receive(message);
      return;
    }
    const { from, proposal, run } = message;
    const { leaderEpoch, proposalId } = proposal;
    const outcome = this.coordinator.proposeIsr(proposal);
    this.send({ kind: "outcome", to: from, run, leaderEpoch, proposalId, outcome });
  }

  /**
   * Who has asked learns that there is no answer; the request itself may still be on its
   * way when it was repeated.
   */
  #drop(message: ModelMessage | undefined): void {
    if (message === undefined) return;
    const isProposal = message.kind === "proposal";
    if (!isProposal && message.kind !== "outcome") return;
    const { leaderEpoch, proposalId } = isProposal ? message.proposal : message;
    const to = isProposal ? message.from : message.to;
    this.nodes
      .find(({ nodeId }) => nodeId === to)
      ?.receive({
        kind: "outcome",
        to,
        run: message.run,
        leaderEpoch,
        proposalId,
        outcome: { kind: "unknown" },
      });
  }

  /**
   * A metadata server may lag behind: at worst with a view in which someone leads who was
   * replaced, and does not know it.
   */
  #viewAtStart(): number {
    const { history } = this.coordinator;
    const oldest = history.findLastIndex(({ partition }, index) => {
      const isOld =
        index < history.length - 1 && partition.leaderEpoch < this.coordinator.partition.leaderEpoch;
      return isOld && this.nodes.some(({ replica }) => isLeading(replica, partition.leaderEpoch));
    });
    return oldest >= 0 && this.choices.happens(0.9) ? oldest : this.choices.between(0, history.length - 1);
  }

  #isCutOff(node: ModelNode): boolean {
    return node.nodeId === this.#laggard && this.choices.happens(0.95);
  }

  #pick(fits: (node: ModelNode) => boolean): ModelNode | undefined {
    return this.choices.pick(this.nodes.filter(fits));
  }
}

function isLeading(replica: ReplicaState | undefined, leaderEpoch: number): boolean {
  return replica?.role.kind === "leader" && replica.role.leader.leaderEpoch === leaderEpoch;
}
