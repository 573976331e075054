import { OttlaError, toOttlaError } from "@ottla/errors";
import { type ClusterChange, featureLevelStateCodec, type Revision } from "@ottla/metadata";
import { LeavingNodes } from "./leaving-nodes.ts";
import { PartitionWriter } from "./partition-writer.ts";
import { allocateProducerIds, type ProducerIdBlock } from "./producer-ids.ts";
import { ReplicaRequests } from "./replica-requests.ts";
import { SerialQueue } from "./serial-queue.ts";
import { StorageNodes } from "./storage-nodes.ts";
import { type Term, writeAndSee } from "./term.ts";
import type { ConfigChange, NewPartitions, NewTopic } from "./topic-requests.ts";
import { type CreatedTopic, Topics } from "./topics.ts";

/** What this version writes and understands; raised when the metadata's meaning changes. */
const FEATURE_LEVEL = 1;

const RETRY_MS = 100;
const RETRY_LIMIT_MS = 5000;

/** How often tombstones are looked at when nothing else happens. */
const UPKEEP_INTERVAL_MS = 10 * 60 * 1000;

/**
 * One coordinator while it is elected: serves requests and brings the cluster in order, one piece of work
 * after another. It ends when the term's signal aborts; a request that is under way then fails on its next
 * write (R1).
 */
export class ActiveTerm {
  readonly #term: Term;
  /** Not behind the other work. */
  readonly replicas: ReplicaRequests;
  readonly #nodes: StorageNodes;
  readonly #topics: Topics;
  readonly #queue: SerialQueue;
  readonly #producerIdQueue: SerialQueue;
  #roundWanted = true;
  #wake: () => void = () => {};

  private constructor(term: Term) {
    this.#term = term;
    const partitions = new PartitionWriter(term);
    const leaving = new LeavingNodes(term);
    const nodes = new StorageNodes(term, partitions, leaving);
    this.#nodes = nodes;
    this.#topics = new Topics(term, nodes, partitions);
    this.replicas = new ReplicaRequests(term, {
      nodes,
      leaving,
      partitions,
      wantRound: () => this.wantRound(),
    });
    this.#queue = new SerialQueue({ maxWaiting: term.limits.maxWaitingRequests });
    this.#producerIdQueue = new SerialQueue({ maxWaiting: term.limits.maxWaitingRequests });
  }

  /**
   * Resolves when all that earlier coordinators wrote is in the view, and the first round has been queued.
   */
  static async begin(term: Term): Promise<ActiveTerm> {
    // Their writes compare their own election keys, so none of them can come after the creation of this one.
    await term.view.waitForRevision(term.writer.term, term.ended);
    await ensureFeatureLevel(term);
    const active = new ActiveTerm(term);
    active.#start();
    return active;
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

  /** Asks for a round: after a request that failed half-way, for instance. */
  wantRound(): void {
    this.#roundWanted = true;
    this.#wake();
  }

  #start(): void {
    const { view, clock, ended, limits } = this.#term;
    const unsubscribe = view.onChange((change) => {
      if (concernsRounds(change, (topicId) => view.topicById(topicId)?.phase)) this.wantRound();
    });
    const grace = clock.setTimer(limits.absentNodeGraceMs, () => this.wantRound(), { background: true });
    ended.addEventListener(
      "abort",
      () => {
        unsubscribe();
        grace.cancel();
        this.#topics.close();
        this.#wake();
      },
      { once: true },
    );
    void this.#runRounds();
  }

  async #runRounds(): Promise<void> {
    const { ended, clock, logger, metrics } = this.#term;
    let pauseMs = RETRY_MS;
    while (!ended.aborted) {
      await this.#untilRoundWanted();
      if (ended.aborted) return;
      this.#roundWanted = false;
      try {
        await this.#queue.run(() => this.#round());
        pauseMs = RETRY_MS;
      } catch (thrown) {
        if (ended.aborted) return;
        metrics.roundFailed();
        logger.warn(
          { err: toOttlaError(thrown) },
          "cannot bring the cluster's metadata in order, will try again",
        );
        await clock.sleep(pauseMs, ended).catch(() => undefined);
        pauseMs = Math.min(pauseMs * 2, RETRY_LIMIT_MS);
        this.#roundWanted = true;
      }
    }
  }

  async #round(): Promise<void> {
    await this.#nodes.reconcile();
    await this.#topics.finishPhases();
  }

  async #untilRoundWanted(): Promise<void> {
    if (this.#roundWanted) return;
    const upkeep = this.#term.clock.setTimer(UPKEEP_INTERVAL_MS, () => this.wantRound(), {
      background: true,
    });
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    upkeep.cancel();
  }
}

/** Rounds deal with nodes and with phases; a topic that simply lives needs none. */
function concernsRounds(change: ClusterChange, phaseOf: (topicId: string) => string | undefined): boolean {
  if (change.storageNodeIds.length > 0) return true;
  if (change.nodes.some(({ role }) => role === "partition-storage")) return true;
  for (const topicId of change.topicIds) {
    const phase = phaseOf(topicId);
    if (phase === "creating" || phase === "deleting") return true;
  }
  return false;
}

async function ensureFeatureLevel(term: Term): Promise<void> {
  const { view } = term;
  const key = view.keys.featureLevel;
  if (view.featureLevel === undefined) {
    await writeAndSee(term, {
      compare: [{ key, createRevision: 0 }],
      success: [{ kind: "put", key, value: featureLevelStateCodec.encode({ level: FEATURE_LEVEL }) }],
    });
  } else if (view.featureLevel > FEATURE_LEVEL) {
    throw new OttlaError(
      "UNSUPPORTED_VERSION",
      `metadata has feature level ${view.featureLevel}, this coordinator knows ${FEATURE_LEVEL}: upgrade it`,
    );
  }
}
