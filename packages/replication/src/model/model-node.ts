import type { FollowerEffect } from "../follower-effects.ts";
import type { IsrOutcome, IsrProposal } from "../in-sync-replicas.ts";
import type { Mutants } from "../mutants.ts";
import type { ReplicaEffect } from "../replica-effects.ts";
import { ReplicaState } from "../replica-state.ts";
import type { FollowerUpdate, PositionAnswer, RecordsAnswer } from "../replication-messages.ts";
import type { ModelChecks, ModelWaiter } from "./model-checks.ts";
import type { MetadataView, ModelCoordinator } from "./model-coordinator.ts";
import { ModelLog, type ModelRecord } from "./model-log.ts";
import type { SeededChoices } from "./seeded-choices.ts";

/**
 * What travels. `nodeEpoch` and `run` are of the receiver: a stream ends with the process that it leads to.
 */
export type ModelMessage =
  | { readonly kind: "update"; readonly to: number; readonly update: FollowerUpdate }
  | {
      readonly kind: "position";
      readonly to: number;
      readonly nodeEpoch: number;
      readonly answer: PositionAnswer;
    }
  | {
      readonly kind: "records";
      readonly to: number;
      readonly nodeEpoch: number;
      readonly answer: RecordsAnswer;
      readonly records: readonly ModelRecord[];
    }
  | { readonly kind: "proposal"; readonly from: number; readonly run: number; readonly proposal: IsrProposal }
  | {
      readonly kind: "outcome";
      readonly to: number;
      readonly run: number;
      readonly leaderEpoch: number;
      readonly proposalId: number;
      readonly outcome: IsrOutcome;
    };

/** What a node reaches beyond itself. */
export interface ModelWorld {
  readonly choices: SeededChoices;
  readonly coordinator: ModelCoordinator;
  readonly checks: ModelChecks;
  readonly mutants: Mutants;
  readonly nowMs: number;
  readonly nodes: readonly ModelNode[];
  send(message: ModelMessage): void;
}

export const LAG_TIME_MAX_MS = 1_000;

const LIMITS = { replicaLagTimeMaxMs: LAG_TIME_MAX_MS, isrRetryBackoffMs: 100, refusedBackoffMs: 50 };

type DamageEffect = Extract<ReplicaEffect, { kind: "reportDamage" }>;

interface SendingStream {
  readonly nodeEpoch: number;
  readonly positionVersion: number;
  nextOffset: number;
}

/** The owner of one `ReplicaState`: what partition-storage is to it, over a log in memory. */
export class ModelNode {
  readonly nodeId: number;
  readonly #world: ModelWorld;
  log = new ModelLog();
  directoryId: number;
  run = 0;
  nodeEpoch = -1;
  hasLease = false;
  viewIndex = 0;
  replica: ReplicaState | undefined;
  waiters: ModelWaiter[] = [];
  truncation: { readonly offset: number; readonly restarts: boolean } | undefined;
  checkpointedHighWatermark = 0;
  /** The mark of a replica that must not lead, kept on disk (R12). */
  damagedFrom: number | undefined;
  /** Where the disk has gone bad. */
  #badFrom: number | undefined;
  readonly #streams = new Map<number, SendingStream>();

  constructor(nodeId: number, world: ModelWorld) {
    this.nodeId = nodeId;
    this.directoryId = nodeId;
    this.#world = world;
  }

  get isAlive(): boolean {
    return this.replica !== undefined;
  }

  /** It has lost records through its disk: no rule can demand them of it. */
  get isExcused(): boolean {
    return (
      this.damagedFrom !== undefined ||
      this.#badFrom !== undefined ||
      this.directoryId !== this.#knownDirectoryId
    );
  }

  get #knownDirectoryId(): number {
    return this.#world.coordinator.knownDirectoryOf(this.nodeId) ?? this.directoryId;
  }

  get view(): MetadataView | undefined {
    return this.#world.coordinator.history[this.viewIndex];
  }

  start(viewIndex: number): void {
    this.run += 1;
    this.viewIndex = viewIndex;
    this.nodeEpoch = this.#world.coordinator.register(this.nodeId, this.directoryId);
    this.hasLease = true;
    // R12: less than what was known to be committed is damage, whatever the recovery says.
    if (this.log.logEndOffset < this.checkpointedHighWatermark) this.damagedFrom ??= this.log.logEndOffset;
    this.#open(undefined);
  }

  crash(): void {
    if (this.truncation !== undefined && this.#world.choices.happens(0.5)) this.#cutLog(this.truncation);
    // Recovery stops where the CRC is wrong.
    if (this.#badFrom !== undefined) this.log.truncateTo(this.#badFrom);
    this.#badFrom = undefined;
    this.log.crash(this.#world.choices);
    this.replica = undefined;
    this.hasLease = false;
    this.truncation = undefined;
    this.waiters = [];
    this.#streams.clear();
  }

  loseDirectory(directoryId: number): void {
    this.log = new ModelLog();
    this.directoryId = directoryId;
    this.checkpointedHighWatermark = 0;
    this.damagedFrom = undefined;
    this.#badFrom = undefined;
  }

  /** A batch goes bad, and a reader finds out. */
  damage(offset: number): void {
    this.#badFrom = Math.min(offset, this.#badFrom ?? offset);
    if (this.replica !== undefined) this.do(this.replica.onDamage(offset));
  }

  registerAgain(): void {
    this.nodeEpoch = this.#world.coordinator.register(this.nodeId, this.directoryId);
    if (this.replica !== undefined) this.do(this.replica.onRegistered(this.nodeEpoch, this.#world.nowMs));
    this.gainLease();
  }

  gainLease(): void {
    this.hasLease = true;
    if (this.replica !== undefined) this.do(this.replica.onLease(true, this.#world.nowMs));
  }

  /** A sync failed: the log is opened anew in the same process, without what was not synced. */
  failLog(): void {
    const former = this.replica;
    if (former === undefined) return;
    this.do(former.onLogFailed());
    this.log.truncateTo(Math.min(this.log.syncedEndOffset, this.#badFrom ?? this.log.logEndOffset));
    this.#badFrom = undefined;
    this.truncation = undefined;
    this.#streams.clear();
    this.#open(former);
  }

  see(viewIndex: number): void {
    this.viewIndex = viewIndex;
    const { view } = this;
    if (view === undefined || this.replica === undefined) return;
    this.do(this.replica.onMetadata(view.partition, view.nodes, this.#world.nowMs));
  }

  append(values: readonly number[], acks: "all" | "leader"): void {
    const role = this.replica?.role;
    if (role?.kind !== "leader" || role.leader.refuseAppend(acks) !== undefined) return;
    const { leaderEpoch } = role.leader;
    const baseOffset = this.log.logEndOffset;
    for (const value of values) this.log.append({ epoch: leaderEpoch, value });
    if (acks === "all") {
      this.waiters.push({ leaderEpoch, baseOffset, endOffset: this.log.logEndOffset, values });
    } else this.#world.checks.weakAcknowledge(this);
    this.logProgressed();
  }

  logProgressed(): void {
    if (this.replica !== undefined) this.do(this.replica.onLogProgress(this.#world.nowMs));
  }

  finishTruncation(): void {
    const { replica, truncation } = this;
    if (truncation === undefined || replica === undefined) return;
    this.truncation = undefined;
    this.#cutLog(truncation);
    this.do(replica.onTruncated(this.#world.nowMs));
  }

  /** Sends one follower up to `count` records, or only the offsets when there are none. */
  pump(nodeId: number, count: number): void {
    const stream = this.#streams.get(nodeId);
    const role = this.replica?.role;
    if (stream === undefined || role?.kind !== "leader") return;
    const baseOffset = stream.nextOffset;
    const records: ModelRecord[] = [];
    for (let offset = baseOffset; records.length < count; offset += 1) {
      const record = this.log.at(offset);
      if (record === undefined || offset >= (this.#badFrom ?? Infinity)) break;
      records.push(record);
    }
    stream.nextOffset = baseOffset + records.length;
    const { leaderEpoch, highWatermark } = role.leader;
    const { nodeEpoch, positionVersion } = stream;
    const { logStartOffset } = this.log;
    const nextOffset = stream.nextOffset;
    const head = { leaderEpoch, highWatermark, logStartOffset, positionVersion };
    const answer = { ...head, logEndOffset: this.log.logEndOffset, baseOffset, nextOffset };
    this.#world.send({ kind: "records", to: nodeId, nodeEpoch, answer, records });
  }

  receive(message: ModelMessage): void {
    const { replica } = this;
    if (replica === undefined) return;
    if ("run" in message && message.run !== this.run) return;
    if ("nodeEpoch" in message && message.nodeEpoch !== this.nodeEpoch) return;
    const { nowMs } = this.#world;
    const { role } = replica;
    switch (message.kind) {
      case "update":
        if (role.kind === "leader") this.do(role.leader.onFollowerUpdate(message.update, nowMs));
        break;
      case "position":
        if (role.kind === "follower") this.do(role.follower.onPositionAnswer(message.answer, nowMs));
        break;
      case "records":
        if (role.kind === "follower")
          this.#takeRecords(role.follower.onRecords(message.answer), message.records);
        break;
      case "outcome":
        if (role.kind !== "leader" || role.leader.leaderEpoch !== message.leaderEpoch) break;
        this.do(role.leader.onIsrOutcome(message.proposalId, message.outcome, nowMs));
        break;
      case "proposal":
        break;
      default:
        message satisfies never;
    }
  }

  reconnect(): void {
    const role = this.replica?.role;
    if (role?.kind === "follower") this.do(role.follower.onConnected());
  }

  do(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) this.#doOne(effect);
  }

  #open(former: ReplicaState | undefined): void {
    this.replica = new ReplicaState({
      node: { nodeId: this.nodeId, nodeEpoch: this.nodeEpoch },
      log: this.log,
      limits: LIMITS,
      highWatermark: this.checkpointedHighWatermark,
      damagedFrom: this.damagedFrom,
      former,
      mutants: this.#world.mutants,
    });
    this.do(this.replica.onLease(this.hasLease, this.#world.nowMs));
    this.see(this.viewIndex);
  }

  #takeRecords(effects: readonly ReplicaEffect[], records: readonly ModelRecord[]): void {
    const takes = effects.some(({ kind }) => kind === "appendRecords");
    if (takes) for (const record of records) this.log.append(record);
    this.do(effects);
    if (takes) this.logProgressed();
  }

  #cutLog(truncation: { readonly offset: number; readonly restarts: boolean }): void {
    if (truncation.restarts) this.log.restartAt(truncation.offset);
    else this.log.truncateTo(truncation.offset);
    const { logEndOffset } = this.log;
    this.checkpointedHighWatermark = Math.min(this.checkpointedHighWatermark, logEndOffset);
    const badFrom = this.#badFrom ?? logEndOffset;
    if (logEndOffset <= badFrom || this.log.logStartOffset > badFrom) this.#badFrom = undefined;
  }

  #settleWaiters(highWatermark: number): void {
    const passed = this.waiters.filter(({ endOffset }) => endOffset <= highWatermark);
    this.waiters = this.waiters.filter(({ endOffset }) => endOffset > highWatermark);
    for (const waiter of passed) this.#world.checks.acknowledge(this, waiter);
  }

  #doOne(effect: ReplicaEffect): void {
    const { checks, coordinator } = this.#world;
    switch (effect.kind) {
      case "becomeLeader":
        this.log.beginEpoch(effect.leaderEpoch);
        this.#streams.clear();
        break;
      case "advanceHighWatermark":
        this.#advance(effect.highWatermark);
        break;
      case "failWaiters":
        this.waiters = [];
        break;
      case "proposeIsr":
        checks.isrProposed(this);
        this.#world.send({ kind: "proposal", from: this.nodeId, run: this.run, proposal: effect.proposal });
        break;
      case "answerPosition":
        this.#answer(effect.nodeId, effect.nodeEpoch, effect.answer, effect.fromOffset);
        break;
      case "refuseUpdate":
        this.#answer(effect.nodeId, effect.nodeEpoch, effect.answer, -1);
        break;
      case "resign":
        if (effect.reason === "log-failed") coordinator.moveLeader(effect.leaderEpoch);
        break;
      case "advanceLowWatermark":
        checks.lowWatermarkAdvanced(effect.logStartOffset);
        break;
      case "becomeFollower":
      case "appendRecords":
      case "leaveReplicas":
        break;
      default:
        this.#doAsFollower(effect);
    }
  }

  #doAsFollower(effect: Exclude<FollowerEffect, { kind: "appendRecords" }> | DamageEffect): void {
    const { checks, coordinator } = this.#world;
    switch (effect.kind) {
      case "sendUpdate": {
        const role = this.replica?.role;
        if (role?.kind !== "follower") break;
        this.#world.send({ kind: "update", to: role.follower.leader, update: effect.update });
        break;
      }
      case "truncate":
      case "restartAt":
        if (effect.kind === "truncate" && effect.reason === "diverged") {
          checks.truncated(this, effect.offset, coordinator.partition);
        }
        this.truncation = { offset: effect.offset, restarts: effect.kind === "restartAt" };
        break;
      case "deleteRecordsBefore":
        this.log.deleteBefore(effect.offset);
        break;
      case "reportDamage":
        this.damagedFrom = effect.fromOffset;
        coordinator.reportDamage(this.nodeId);
        break;
      case "damageRepaired":
        this.damagedFrom = undefined;
        break;
      case "cannotFollow":
        throw new Error(`node ${this.nodeId} cannot follow: ${effect.message}`);
      case "advanceHighWatermark":
        break;
      default:
        effect satisfies never;
    }
  }

  #advance(highWatermark: number): void {
    const role = this.replica?.role;
    if (role?.kind !== "leader") return;
    this.#world.checks.highWatermarkAdvanced(this, role.leader.leaderEpoch, highWatermark);
    this.#settleWaiters(highWatermark);
  }

  #answer(to: number, nodeEpoch: number, answer: PositionAnswer, fromOffset: number): void {
    const { positionVersion } = answer;
    if (answer.outcome.kind === "accepted") {
      this.#streams.set(to, { nodeEpoch, positionVersion, nextOffset: fromOffset });
    } else if (answer.outcome.kind !== "refused") this.#streams.delete(to);
    this.#world.send({ kind: "position", to, nodeEpoch, answer });
  }
}
