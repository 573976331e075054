import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { ReadResult, SegmentedLog } from "@ottla/log";
import {
  type AnswerHead,
  type FollowerUpdate,
  type IsrProposal,
  type PositionAnswer,
  type RecordsAnswer,
  type ReplicaEffect,
  ReplicaState,
} from "@ottla/replication";
import type { Clock } from "@ottla/runtime";
import type { FollowedReplica, FollowerStreams, LeaderStreams, LedReplica } from "./replica-seams.ts";
import { UnwrittenRecords } from "./unwritten-records.ts";

export interface TestReplicaOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly node: { readonly nodeId: number; readonly nodeEpoch: number };
  readonly log: SegmentedLog;
  readonly followers: FollowerStreams;
  readonly leaders: () => LeaderStreams;
  readonly clock: Clock;
  readonly propose: (replica: TestReplica, proposal: IsrProposal) => void;
  /** Something happened that a test may wait for. */
  readonly onEvent: () => void;
}

const LIMITS = { replicaLagTimeMaxMs: 30_000, isrRetryBackoffMs: 50, refusedBackoffMs: 50 };

/** The smallest owner of a replica: a real log, the real state machines, and the streams under test. */
export class TestReplica implements FollowedReplica, LedReplica {
  readonly topicId: string;
  readonly partition: number;
  readonly state: ReplicaState;
  readonly log: SegmentedLog;
  readonly #options: TestReplicaOptions;
  readonly #unwritten = new UnwrittenRecords();
  readonly failures: OttlaError[] = [];
  readonly refusals: string[] = [];
  connectedCount = 0;
  unreleasedBytes = 0;

  constructor(options: TestReplicaOptions) {
    const { log, node } = options;
    this.#options = options;
    this.topicId = options.topicId;
    this.partition = options.partition;
    this.log = log;
    this.state = new ReplicaState({ node, log, limits: LIMITS, highWatermark: 0 });
    log.onProgress(() => this.#onProgress());
  }

  get nodeId(): number {
    return this.#options.node.nodeId;
  }

  get isLeader(): boolean {
    return this.state.role.kind === "leader";
  }

  get isThrottled(): boolean {
    return this.state.term?.isr.includes(this.nodeId) !== true;
  }

  append(batch: Uint8Array): void {
    const { role } = this.state;
    if (role.kind !== "leader") throw new Error(`node ${this.nodeId} does not lead`);
    this.log.append(batch, { leaderEpoch: role.leader.leaderEpoch, validated: true, origin: "client" });
  }

  /** Every pause is over. */
  waitedLong(): void {
    this.do(this.state.onTick(Number.MAX_SAFE_INTEGER));
  }

  /** The stream from the leader of the term, if there is one, on what is the node's client now. */
  followAgain(): void {
    const { role, term } = this.state;
    const leaders = this.#options.leaders();
    if (role.kind !== "follower" || term === undefined || term.leader < 0) leaders.unfollow(this);
    else leaders.follow(this, term.leader, term.leaderNodeEpoch);
  }

  onConnected(): void {
    this.connectedCount += 1;
    const { role } = this.state;
    if (role.kind === "follower") this.do(role.follower.onConnected());
  }

  onPositionAnswer(answer: PositionAnswer): void {
    const { role } = this.state;
    if (answer.outcome.kind === "refused") this.refusals.push(answer.outcome.reason);
    if (role.kind !== "follower") return;
    this.do(role.follower.onPositionAnswer(answer, this.#options.clock.monotonic()));
  }

  onRecords(answer: RecordsAnswer, chunks: readonly Uint8Array[], release: () => void): void {
    const { role } = this.state;
    const effects = role.kind === "follower" ? role.follower.onRecords(answer) : [];
    if (effects.some(({ kind }) => kind === "appendRecords")) {
      this.log.append(Buffer.concat(chunks), { leaderEpoch: -1, validated: false, origin: "replica" });
      const sizeBytes = chunks.reduce((sum, { length }) => sum + length, 0);
      this.unreleasedBytes += sizeBytes;
      this.#unwritten.add(answer.nextOffset, () => {
        this.unreleasedBytes -= sizeBytes;
        release();
      });
    } else release();
    this.do(effects);
  }

  onFollowerUpdate(update: FollowerUpdate): void {
    const { role } = this.state;
    if (role.kind !== "leader") return;
    this.do(role.leader.onFollowerUpdate(update, this.#options.clock.monotonic()));
  }

  readForFollower(offset: number, maxBytes: number): Promise<ReadResult> {
    return this.log.read(offset, { maxBytes, endOffset: this.log.writtenEndOffset });
  }

  isAwaited(nodeId: number): boolean {
    const { role } = this.state;
    return role.kind === "leader" && role.leader.maximalIsr.has(nodeId);
  }

  head(): Omit<AnswerHead, "positionVersion"> {
    const { highWatermark, role, term } = this.state;
    const { logEndOffset, logStartOffset } = this.log;
    const leaderEpoch = role.kind === "leader" ? role.leader.leaderEpoch : (term?.leaderEpoch ?? -1);
    return { leaderEpoch, highWatermark, logEndOffset, logStartOffset };
  }

  onReadFailed(_offset: number, error: OttlaError): void {
    this.failures.push(error);
    this.#options.onEvent();
  }

  do(effects: readonly ReplicaEffect[]): void {
    for (const effect of effects) this.#do(effect);
    this.#options.onEvent();
  }

  #onProgress(): void {
    this.#unwritten.written(this.log.writtenEndOffset);
    if (this.isLeader) this.#options.followers.changed(this);
    this.do(this.state.onLogProgress(this.#options.clock.monotonic()));
  }

  #do(effect: ReplicaEffect): void {
    const { followers } = this.#options;
    const leaders = this.#options.leaders();
    switch (effect.kind) {
      case "becomeLeader":
        leaders.unfollow(this);
        this.log.beginLeaderEpoch(effect.leaderEpoch);
        break;
      case "becomeFollower":
        followers.ended(this);
        this.followAgain();
        break;
      case "sendUpdate":
        leaders.sendUpdate(this, effect.update);
        break;
      case "truncate":
        this.#afterwards(this.log.truncateTo(effect.offset));
        break;
      case "restartAt":
        this.#afterwards(this.log.truncateFullyAndStartAt(effect.offset));
        break;
      case "deleteRecordsBefore":
        this.#note(this.log.deleteRecordsBefore(effect.offset));
        break;
      case "advanceHighWatermark":
        if (this.isLeader) followers.changed(this);
        break;
      case "answerPosition":
        followers.answerPosition(this, effect.nodeId, effect.nodeEpoch, effect.fromOffset, effect.answer);
        break;
      case "refuseUpdate":
        followers.refuseUpdate(this, effect.nodeId, effect.nodeEpoch, effect.answer);
        break;
      case "proposeIsr":
        this.#options.propose(this, effect.proposal);
        break;
      default:
    }
  }

  #afterwards(truncated: Promise<unknown>): void {
    this.#unwritten.clear();
    const done = truncated.then(() => this.do(this.state.onTruncated(this.#options.clock.monotonic())));
    this.#note(done);
  }

  #note(task: Promise<unknown>): void {
    task.catch((thrown: unknown) => this.failures.push(toOttlaError(thrown)));
  }
}
