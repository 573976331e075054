import { invalidRequest, OttlaError, toOttlaError } from "@ottla/errors";
import {
  type ClusterTopic,
  defaultReplicationFactor,
  isInternalTopicName,
  MAX_FENCED_OPERATIONS,
  type PartitionState,
  type Revision,
  type TopicState,
  topicNameStateCodec,
  topicStateCodec,
} from "@ottla/metadata";
import { withInternalDefaults } from "./internal-topics.ts";
import { type Assignments, checkAssignments, checkCount, invalidAssignment } from "./manual-placement.ts";
import type { NodeRounds } from "./node-rounds.ts";
import { newPartitionState } from "./partition-leadership.ts";
import { failUnlessWritten, type PartitionChange, type PartitionWriter } from "./partition-writer.ts";
import { placePartitions } from "./placement.ts";
import { isMoving } from "./reassignment-rules.ts";
import type { StorageNodes } from "./storage-nodes.ts";
import { partitionCreation, type Term, type WriteUnit, writeAndSee, writeInBatches } from "./term.ts";
import { TopicNames } from "./topic-names.ts";
import {
  type ConfigChange,
  changedConfigs,
  checkMinInsyncReplicas,
  checkNewTopic,
  checkPartitionCount,
  type NewPartitions,
  type NewTopic,
  unknownTopic,
} from "./topic-requests.ts";

/** The revision of a change is known only after it is written. */
const NOT_KNOWN_YET = Number.MAX_SAFE_INTEGER;

export interface CreatedTopic {
  /** Empty when the request was only validated. */
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly revision: Revision;
}

/**
 * Topics in one term: what is asked for, and the phases of work that one transaction cannot hold. Each phase
 * is written in the topic's key first and works from the state that it finds, so a new coordinator can take
 * it up anywhere. The calls must come one after another.
 */
export class Topics {
  readonly #term: Term;
  readonly #nodes: StorageNodes;
  readonly #rounds: NodeRounds;
  readonly #partitions: PartitionWriter;
  readonly #names: TopicNames;

  constructor(term: Term, nodes: StorageNodes, rounds: NodeRounds, partitions: PartitionWriter) {
    this.#term = term;
    this.#rounds = rounds;
    this.#nodes = nodes;
    this.#partitions = partitions;
    this.#names = new TopicNames(term.view);
  }

  close(): void {
    this.#names.close();
  }

  async create(asked: NewTopic): Promise<CreatedTopic> {
    const { defaults, limits, view, random, clock } = this.#term;
    const request = withInternalDefaults(asked, defaults);
    checkNewTopic(request, this.#names, limits);
    const { partitions, replicationFactor } = this.#countsOf(request);
    checkPartitionCount("partitions", partitions, partitions, this.#partitionCount(), limits);
    checkMinInsyncReplicas(request.configs, replicationFactor, defaults);
    const isManual = request.assignments.length > 0;
    if (isManual) checkAssignments(request.assignments, 0, replicationFactor, this.#nodes);
    const placed = isManual
      ? request.assignments
      : placePartitions(this.#nodes.placementNodes(replicationFactor), partitions, replicationFactor);
    if (request.validateOnly) return { topicId: "", partitions, replicationFactor, revision: view.revision };
    const topicId = random.uuid();
    const topic: TopicState = {
      name: request.name,
      partitionCount: partitions,
      replicationFactor,
      configs: request.configs,
      phase: "creating",
      internal: isInternalTopicName(request.name),
      createdAtMs: clock.now(),
      deletedAtMs: -1,
      plannedReplicas: isManual ? placed : undefined,
    };
    const revision = await this.#writeNewTopic(topicId, topic, placed);
    this.#term.logger.info({ topic: topic.name, topicId, partitions, replicationFactor }, "topic created");
    return { topicId, partitions, replicationFactor, revision };
  }

  #countsOf(request: NewTopic): { readonly partitions: number; readonly replicationFactor: number } {
    const { defaults } = this.#term;
    const [first] = request.assignments;
    if (first === undefined) {
      const partitions = request.partitions === 0 ? defaults.numPartitions : request.partitions;
      const byDefault = defaults.defaultReplicationFactor ?? defaultReplicationFactor(this.#term.view);
      const replicationFactor = request.replicationFactor || byDefault;
      return { partitions, replicationFactor };
    }
    checkCount("partitions", request.partitions, request.assignments.length);
    checkCount("replication_factor", request.replicationFactor, first.length);
    return { partitions: request.assignments.length, replicationFactor: first.length };
  }

  /**
   * The name is free at once; the partitions go, and then the tombstone tells storage nodes to remove files.
   * Where an id is given, another topic of that name stays.
   */
  async delete(name: string, topicId: string): Promise<Revision> {
    const topic = topicId === "" ? this.#find(name) : this.#names.find(name);
    if (topic === undefined || (topicId !== "" && topic.topicId !== topicId)) {
      throw new OttlaError("UNKNOWN_TOPIC_ID", `topic "${name}" does not have the id ${topicId}`, {
        metadata: { field: "topic_id" },
      });
    }
    if (topic.internal) {
      throw new OttlaError("INVALID_TOPIC_EXCEPTION", `topic "${name}" is internal and cannot be deleted`, {
        metadata: { field: "name" },
      });
    }
    const { keys } = this.#term.view;
    const deleting = this.#topicWrite(topic, { ...stripTopic(topic), phase: "deleting" });
    await writeAndSee(this.#term, {
      compare: deleting.compare,
      success: [...deleting.success, { kind: "delete", key: keys.topicName(name) }],
    });
    this.#term.logger.info({ topic: name, topicId: topic.topicId }, "topic deleted");
    return await this.#finishDeletion(topic.topicId);
  }

  async alterConfig(name: string, change: ConfigChange, validateOnly: boolean): Promise<Revision> {
    const topic = this.#find(name);
    const configs = changedConfigs(topic, change, this.#term.defaults);
    if (validateOnly) return this.#term.view.revision;
    const before = stripTopic(topic);
    const becomesSynced = !this.#rounds.isSynced(topic) && this.#rounds.isSynced({ ...topic, configs });
    const relaxed = becomesSynced ? { relaxedUntilRevision: NOT_KNOWN_YET } : {};
    const revision = await writeAndSee(
      this.#term,
      this.#topicWrite(topic, { ...before, ...relaxed, configs }),
    );
    if (becomesSynced) await this.#noteRevision(topic.topicId);
    // A changed min.insync.replicas has to reach the state of each partition (R4).
    const applied = await this.#rounds.applySettings(topic.topicId);
    this.#term.logger.info({ topic: name, set: change.set, remove: change.remove }, "topic settings changed");
    return Math.max(revision, applied);
  }

  /** R9: from when on all that the topic's nodes acknowledged was synced. */
  async #noteRevision(topicId: string): Promise<void> {
    const topic = this.#term.view.topicById(topicId);
    if (topic?.relaxedUntilRevision !== NOT_KNOWN_YET) return;
    const state = { ...stripTopic(topic), relaxedUntilRevision: topic.modRevision };
    await writeAndSee(this.#term, this.#topicWrite(topic, state));
  }

  async addPartitions(name: string, request: NewPartitions): Promise<Revision> {
    const { limits, view } = this.#term;
    const { totalPartitions, assignments } = request;
    const topic = this.#find(name);
    const current = topic.targetPartitionCount ?? topic.partitionCount;
    if (totalPartitions <= current) {
      throw new OttlaError(
        "INVALID_PARTITIONS",
        `total_partitions ${totalPartitions} is not more than the ${current} that topic "${name}" has: ` +
          "partitions are never removed",
        { metadata: { field: "total_partitions", limit: String(current) } },
      );
    }
    const added = totalPartitions - current;
    checkPartitionCount("total_partitions", totalPartitions, added, this.#partitionCount(), limits);
    const isManual = assignments.length > 0;
    if (!isManual)
      placePartitions(this.#nodes.placementNodes(topic.replicationFactor), 1, topic.replicationFactor);
    else if (assignments.length !== added) {
      throw invalidAssignment(`${assignments.length} partitions are placed, but ${added} are added`);
    }
    checkAssignments(assignments, current, topic.replicationFactor, this.#nodes);
    if (request.validateOnly) return view.revision;
    const before = topic.plannedReplicas ?? [];
    const more = isManual ? assignments : Array.from({ length: added }, () => []);
    const plannedReplicas = isManual || before.length > 0 ? [...before, ...more] : undefined;
    const growing = { ...stripTopic(topic), targetPartitionCount: totalPartitions, plannedReplicas };
    await writeAndSee(this.#term, this.#topicWrite(topic, growing));
    const revision = await this.#finishPartitions(topic.topicId);
    this.#term.logger.info({ topic: name, partitions: totalPartitions }, "partitions added");
    return revision;
  }

  /** Takes up what a former coordinator, or a failed request, left unfinished, and lets old tombstones go. */
  async finishPhases(): Promise<undefined> {
    const tombstones: ClusterTopic[] = [];
    // A copy: the work changes the topics under way.
    for (const topic of Array.from(this.#term.view.topics())) {
      if (topic.phase === "deleted") tombstones.push(topic);
      else if (topic.phase === "deleting") await this.#finishDeletion(topic.topicId);
      else if (topic.phase === "creating" || topic.targetPartitionCount !== undefined) {
        await this.#tryFinishPartitions(topic);
      } else {
        await this.#takeOverReplicaCount(topic);
        await this.#noteRevision(topic.topicId);
      }
    }
    await this.#expireTombstones(tombstones);
  }

  async #writeNewTopic(topicId: string, topic: TopicState, placed: Assignments): Promise<Revision> {
    const { keys } = this.#term.view;
    const nameKey = keys.topicName(topic.name);
    const topicKey = keys.topic(topicId);
    const partitions = placed.map((replicas, partition) =>
      partitionCreation(this.#term, topicId, partition, this.#newPartition(topic, replicas)),
    );
    const fitsOneTransaction = partitions.length + 2 <= MAX_FENCED_OPERATIONS;
    const together = fitsOneTransaction ? partitions : [];
    const written: TopicState = fitsOneTransaction
      ? { ...topic, phase: "live", plannedReplicas: undefined }
      : topic;
    const revision = await writeAndSee(this.#term, {
      compare: [
        // The topic comes first: if the answer is lost, the writer reads this key back.
        { key: topicKey, createRevision: 0 },
        { key: nameKey, createRevision: 0 },
        ...together.flatMap((unit) => unit.compare),
      ],
      success: [
        { kind: "put", key: topicKey, value: topicStateCodec.encode(written) },
        { kind: "put", key: nameKey, value: topicNameStateCodec.encode({ topicId }) },
        ...together.flatMap((unit) => unit.success),
      ],
    });
    return fitsOneTransaction ? revision : await this.#finishPartitions(topicId);
  }

  /** Creates the partitions that are missing and makes the topic live with all of them. */
  async #finishPartitions(topicId: string): Promise<Revision> {
    const { view } = this.#term;
    const topic = view.topicById(topicId);
    if (topic === undefined) return view.revision;
    const target = topic.targetPartitionCount ?? topic.partitionCount;
    const missing: number[] = [];
    for (let partition = 0; partition < target; partition += 1) {
      if (view.partition(topicId, partition) === undefined) missing.push(partition);
    }
    const placed = this.#place(topic, missing, target);
    const units = missing.map((partition, index) =>
      partitionCreation(this.#term, topicId, partition, this.#newPartition(topic, placed[index] ?? [])),
    );
    const unchanged = { key: view.keys.topic(topicId), modRevision: topic.modRevision };
    await writeInBatches(this.#term, units, [unchanged]);
    const { targetPartitionCount: _done, plannedReplicas: _placed, ...state } = stripTopic(topic);
    const live: TopicState = { ...state, partitionCount: target, phase: "live" };
    return await writeAndSee(this.#term, this.#topicWrite(topic, live));
  }

  /** After moves that gave every partition another number of replicas: new partitions get as many. */
  async #takeOverReplicaCount(topic: ClusterTopic): Promise<void> {
    let count: number | undefined;
    for (const state of this.#term.view.partitionsOf(topic.topicId)) {
      if (isMoving(state) || (count !== undefined && state.replicas.length !== count)) return;
      count = state.replicas.length;
    }
    if (count === undefined || count === topic.replicationFactor) return;
    await writeAndSee(
      this.#term,
      this.#topicWrite(topic, { ...stripTopic(topic), replicationFactor: count }),
    );
  }

  /** As it was asked for, where it was; an empty list is placed like the rest. */
  #place(topic: TopicState, partitions: readonly number[], target: number): Assignments {
    const planned = topic.plannedReplicas ?? [];
    const byHand = partitions.map((partition) => planned[planned.length - target + partition] ?? []);
    const unplanned = byHand.filter((replicas) => replicas.length === 0).length;
    if (unplanned === 0) return byHand;
    const { replicationFactor } = topic;
    const nodes = this.#nodes.placementNodes(replicationFactor);
    const placed = placePartitions(nodes, unplanned, replicationFactor);
    let next = 0;
    return byHand.map((replicas) => (replicas.length > 0 ? replicas : (placed[next++] ?? [])));
  }

  /** Where too few nodes are there, the topic waits for more; other topics must not wait with it. */
  async #tryFinishPartitions(topic: ClusterTopic): Promise<void> {
    try {
      await this.#finishPartitions(topic.topicId);
      this.#term.logger.info(
        { topic: topic.name, topicId: topic.topicId },
        "finished the topic's partitions",
      );
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code !== "INVALID_REPLICATION_FACTOR") throw error;
      this.#term.logger.warn({ topic: topic.name, err: error }, "cannot finish the topic's partitions yet");
    }
  }

  async #finishDeletion(topicId: string): Promise<Revision> {
    const { view, clock } = this.#term;
    const topic = view.topicById(topicId);
    if (topic === undefined) return view.revision;
    const changes: PartitionChange[] = [];
    for (const { partition } of view.partitionsOf(topicId)) {
      changes.push({ topicId, partition, decide: () => ({ kind: "delete" }) });
    }
    failUnlessWritten(await this.#partitions.apply(changes));
    const tombstone: TopicState = { ...stripTopic(topic), phase: "deleted", deletedAtMs: clock.now() };
    return await writeAndSee(this.#term, this.#topicWrite(topic, tombstone));
  }

  /**
   * A storage node that was away for longer than its topics' tombstones stay finds no key for them: it puts
   * their files aside, which costs room and never data. So tombstones may go by age and number without asking
   * anybody.
   */
  async #expireTombstones(tombstones: readonly ClusterTopic[]): Promise<void> {
    const { limits, clock, view } = this.#term;
    const byAge = tombstones.toSorted((left, right) => left.deletedAtMs - right.deletedAtMs);
    const excess = byAge.length - limits.maxTombstones;
    const oldest = clock.now() - limits.tombstoneRetentionMs;
    const expired = byAge.filter((topic, index) => index < excess || topic.deletedAtMs < oldest);
    const units = expired.map(({ topicId, modRevision }): WriteUnit => {
      const key = view.keys.topic(topicId);
      return { compare: [{ key, modRevision }], success: [{ kind: "delete", key }] };
    });
    if (units.length > 0) await writeInBatches(this.#term, units);
  }

  #newPartition(topic: TopicState, replicas: readonly number[]): PartitionState {
    return newPartitionState(replicas, this.#nodes.live, this.#nodes.minInsyncReplicas(topic));
  }

  #find(name: string): ClusterTopic {
    if (name === "") throw invalidRequest("name", "it is empty");
    const topic = this.#names.find(name);
    if (topic === undefined) throw unknownTopic(name);
    return topic;
  }

  #partitionCount(): number {
    let count = 0;
    for (const topic of this.#term.view.topics()) {
      if (topic.phase !== "deleted") count += topic.targetPartitionCount ?? topic.partitionCount;
    }
    return count;
  }

  #topicWrite(topic: ClusterTopic, state: TopicState): WriteUnit {
    const key = this.#term.view.keys.topic(topic.topicId);
    return {
      compare: [{ key, modRevision: topic.modRevision }],
      success: [{ kind: "put", key, value: topicStateCodec.encode(state) }],
    };
  }
}

/** Without the fields that the view adds, but with those of newer versions. */
function stripTopic(topic: ClusterTopic): TopicState {
  const { topicId: _topicId, modRevision: _modRevision, ...state } = topic;
  return state;
}
