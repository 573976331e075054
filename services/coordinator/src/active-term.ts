import {
  type ClusterChange,
  type ClusterView,
  GROUPS_TOPIC,
  type LevelRange,
  type Revision,
  type TopicPhase,
} from "@ottla/metadata";
import { ClusterRecovery } from "./cluster-recovery.ts";
import { ensureFeatureLevel, type LevelChange, raiseFeatureLevel } from "./feature-level.ts";
import { GroupConfigs } from "./group-configs.ts";
import { GroupOwners } from "./group-owners.ts";
import { LeaderBalance } from "./leader-balance.ts";
import { LeaderElections } from "./leader-elections.ts";
import { NodeRounds } from "./node-rounds.ts";
import { noteTerm } from "./note-term.ts";
import { PartitionWriter } from "./partition-writer.ts";
import { allocateProducerIds, type ProducerIdBlock } from "./producer-ids.ts";
import { Reassignments } from "./reassignments.ts";
import { ReplicaBalance } from "./replica-balance.ts";
import { ReplicaRequests } from "./replica-requests.ts";
import { RoundLoop } from "./round-loop.ts";
import { SerialQueue } from "./serial-queue.ts";
import { StorageNodeRecords } from "./storage-node-records.ts";
import { StorageNodes } from "./storage-nodes.ts";
import type { Term } from "./term.ts";
import type { ConfigChange, NewPartitions, NewTopic } from "./topic-requests.ts";
import { type CreatedTopic, Topics } from "./topics.ts";

/** How often rounds come when nothing happens: tombstones grow old, for instance. */
const UPKEEP_INTERVAL_MS = 10 * 60 * 1000;

/** The least time between two steps of moving replicas. */
const MOVE_PAUSE_MS = 200;

/**
 * One coordinator while it is elected: serves requests and brings the cluster in order.
 * Topics change one after another; leaders and ISRs do not wait for that. It ends when the
 * term's signal aborts; a request that is under way then fails on its next write (R1).
 */
export class ActiveTerm {
  readonly #term: Term;
  /** Not behind the other work. */
  readonly replicas: ReplicaRequests;
  readonly elections: LeaderElections;
  readonly reassignments: Reassignments;
  readonly records: StorageNodeRecords;
  readonly recovery: ClusterRecovery;
  readonly groupConfigs: GroupConfigs;
  readonly #topics: Topics;
  readonly #queue: SerialQueue;
  readonly #producerIdQueue: SerialQueue;
  readonly #nodeRounds: NodeRounds;
  readonly #nodeLoop: RoundLoop;
  readonly #topicLoop: RoundLoop;
  readonly #leaderLoop: RoundLoop;
  readonly #groupLoop: RoundLoop;
  readonly #moveLoop: RoundLoop;

  private constructor(term: Term) {
    this.#term = term;
    const partitions = new PartitionWriter(term);
    const nodes = new StorageNodes(term);
    this.records = new StorageNodeRecords(term, this.#newQueue());
    this.#nodeRounds = new NodeRounds(term, nodes, this.records, partitions);
    this.#topics = new Topics(term, nodes, this.#nodeRounds, partitions);
    this.elections = new LeaderElections(term, nodes, partitions);
    this.reassignments = new Reassignments(term, nodes, partitions);
    this.groupConfigs = new GroupConfigs(term, this.#newQueue());
    this.recovery = new ClusterRecovery(term, term.storageTransport);
    const leaders = new LeaderBalance(term, nodes, partitions);
    const { records, reassignments } = this;
    const replicas = new ReplicaBalance(term, { nodes, partitions, records, reassignments });
    this.#nodeLoop = this.#loop("partitions and storage nodes", () => this.#nodeRounds.run());
    this.#topicLoop = this.#loop("topics", () => this.#queue.run(() => this.#topics.finishPhases()));
    this.#moveLoop = this.#loop("moves of replicas", () => replicas.step(), MOVE_PAUSE_MS);
    this.#leaderLoop = this.#loop("leaders", () => leaders.step(), term.limits.preferredLeaderStepMs);
    const groupOwners = new GroupOwners(term);
    this.#groupLoop = this.#loop("owners of groups", () => groupOwners.reconcile());
    const wantRound = (): void => this.#nodeLoop.want();
    this.replicas = new ReplicaRequests(term, { nodes, partitions, wantRound });
    this.#queue = this.#newQueue();
    this.#producerIdQueue = this.#newQueue();
  }

  /**
   * Resolves when all that earlier coordinators wrote is in the view, and the first round has been queued.
   */
  static async begin(term: Term): Promise<ActiveTerm> {
    // Their writes compare their own election keys, so none of them can come after the creation of this one.
    await term.view.waitForRevision(term.writer.term, term.ended);
    await ensureFeatureLevel(term);
    // While the cluster has to be recovered nothing is written but by the recovery.
    if (term.view.recoveryNeed === undefined) await noteTerm(term);
    const active = new ActiveTerm(term);
    active.#start();
    return active;
  }

  /** The feature levels at which this program can work. */
  get levels(): LevelRange {
    return this.#term.levels;
  }

  create(topic: NewTopic, signal: AbortSignal): Promise<CreatedTopic> {
    return this.#queue.run(() => this.#topics.create(topic), signal);
  }

  delete(name: string, topicId: string, signal: AbortSignal): Promise<Revision> {
    return this.#queue.run(() => this.#topics.delete(name, topicId), signal);
  }

  alterConfig(
    name: string,
    change: ConfigChange,
    validateOnly: boolean,
    signal: AbortSignal,
  ): Promise<Revision> {
    return this.#queue.run(() => this.#topics.alterConfig(name, change, validateOnly), signal);
  }

  addPartitions(name: string, request: NewPartitions, signal: AbortSignal): Promise<Revision> {
    return this.#queue.run(() => this.#topics.addPartitions(name, request), signal);
  }

  /** Not behind the other work: a producer that starts must not wait for a large topic to be created. */
  allocateProducerIds(signal: AbortSignal): Promise<ProducerIdBlock> {
    return this.#producerIdQueue.run(() => allocateProducerIds(this.#term), signal);
  }

  raiseFeatureLevel(request: { level: number; dryRun: boolean }, signal: AbortSignal): Promise<LevelChange> {
    return this.#queue.run(() => raiseFeatureLevel(this.#term, request), signal);
  }

  get view(): ClusterView {
    return this.#term.view;
  }

  /** Asks for rounds: after a request that failed half-way, for instance. */
  wantRound(): void {
    this.#nodeLoop.want();
    this.#topicLoop.want();
  }

  #newQueue(): SerialQueue {
    return new SerialQueue({ maxWaiting: this.#term.limits.maxWaitingRequests });
  }

  #loop(about: string, round: () => Promise<number | undefined>, minPauseMs = 0): RoundLoop {
    return new RoundLoop({ term: this.#term, about, round, intervalMs: UPKEEP_INTERVAL_MS, minPauseMs });
  }

  #start(): void {
    const { view, clock, ended, limits } = this.#term;
    const unsubscribe = view.onChange((change) => this.#onChange(change));
    const grace = clock.setTimer(limits.absentNodeGraceMs, () => this.wantRound(), { background: true });
    ended.addEventListener(
      "abort",
      () => {
        unsubscribe();
        grace.cancel();
        this.#topics.close();
      },
      { once: true },
    );
    this.#nodeLoop.start();
    this.#topicLoop.start();
    this.#leaderLoop.start();
    this.#groupLoop.start();
    this.#moveLoop.start();
  }

  #onChange(change: ClusterChange): void {
    if (concernsNodes(change) || this.#nodeRounds.wouldChange(change.partitions)) this.#nodeLoop.want();
    if (!isOfTopicsOnly(change)) this.#leaderLoop.want();
    const hasEnded = this.reassignments.haveEnded(change.partitions);
    const isNews = concernsNodes(change) || change.balancingChanged || hasEnded;
    if (isNews || this.reassignments.canComplete(change.partitions)) this.#moveLoop.want();
    // The topic may have another number of replicas now.
    if (hasEnded) this.#topicLoop.want();
    const { view } = this.#term;
    // A topic that waits for nodes may be finished now.
    const isPhase = (topicId: string): boolean => isUnderWay(view.topicById(topicId)?.phase);
    if (concernsNodes(change) || [...change.topicIds].some(isPhase)) this.#topicLoop.want();
    const ofGroups = (topicId: string): boolean => view.topicById(topicId)?.name === GROUPS_TOPIC;
    const isGroupNode = change.nodes.some(({ role }) => role === "group-coordinator");
    if (isGroupNode || [...change.topicIds].some(ofGroups)) this.#groupLoop.want();
  }
}

function concernsNodes(change: ClusterChange): boolean {
  return change.storageNodeIds.length > 0 || change.nodes.some(({ role }) => role === "partition-storage");
}

function isOfTopicsOnly(change: ClusterChange): boolean {
  return !concernsNodes(change) && change.partitions.length === 0 && !change.balancingChanged;
}

function isUnderWay(phase: TopicPhase | undefined): boolean {
  return phase === "creating" || phase === "deleting";
}
