import { invalidRequest, toOttlaError } from "@ottla/errors";
import type { LevelRange } from "@ottla/metadata";
import type {
  CoordinatorService,
  DrainNodeRequest,
  Reassignment as ReassignmentMessage,
} from "@ottla/proto/ottla/internal/v1/coordinator";
import { errorToMessage, type ServiceImplementation } from "@ottla/rpc";
import type { ActiveTerm } from "./active-term.ts";
import { type Coordinator, needsRecovery } from "./coordinator.ts";
import type { CoordinatorMetrics } from "./coordinator-metrics.ts";
import type { LevelChange } from "./feature-level.ts";
import type { Reassignment } from "./reassignments.ts";
import { planFields } from "./recovery-report.ts";
import type { WantedDrain } from "./storage-node-records.ts";

type Service = ServiceImplementation<typeof CoordinatorService>;

/** Runs the work on the active term, and counts how it ended. */
type Answer = <T>(operation: string, work: (active: ActiveTerm) => Promise<T>) => Promise<T>;

/**
 * `ottla.internal.v1.CoordinatorService`: turns messages into calls of the active term, and counts the
 * answers.
 */
export function coordinatorService(coordinator: Coordinator, metrics: CoordinatorMetrics): Service {
  const answer: Answer = async (operation, work) => {
    let active: ActiveTerm | undefined;
    try {
      active = coordinator.requireActive();
      const need = operation === "Recover" ? undefined : needsRecovery(active.view);
      if (need !== undefined) throw need;
      const result = await work(active);
      metrics.requestAnswered(operation, "ok");
      return result;
    } catch (thrown) {
      const error = toOttlaError(thrown);
      metrics.requestAnswered(operation, error.code);
      // Work of several transactions may have stopped half-way: a round finishes it.
      if (error.retriable) active?.wantRound();
      throw error;
    }
  };
  return { ...forGateways(answer), ...forStorageNodes(answer), ...forOperators(answer) };
}

function forGateways(answer: Answer) {
  return {
    createTopic: (request, { signal }) =>
      answer("CreateTopic", async (active) => {
        const { name, partitions, replicationFactor, configs, validateOnly } = request;
        const assignments = request.assignments.map(({ replicas }) => replicas);
        const topic = { name, partitions, replicationFactor, configs, validateOnly, assignments };
        const created = await active.create(topic, signal);
        return { ...created, revision: BigInt(created.revision) };
      }),
    deleteTopic: (request, { signal }) =>
      answer("DeleteTopic", async (active) => ({
        revision: BigInt(await active.delete(request.name, request.topicId, signal)),
      })),
    alterTopicConfig: (request, { signal }) =>
      answer("AlterTopicConfig", async (active) => {
        const { name, set, remove, validateOnly } = request;
        return { revision: BigInt(await active.alterConfig(name, { set, remove }, validateOnly, signal)) };
      }),
    alterGroupConfig: (request, { signal }) =>
      answer("AlterGroupConfig", async (active) => {
        const { groupId, set, remove, validateOnly } = request;
        const change = { set, remove };
        return { revision: BigInt(await active.groupConfigs.alter(groupId, change, validateOnly, signal)) };
      }),
    createPartitions: (request, { signal }) =>
      answer("CreatePartitions", async (active) => {
        const { name, totalPartitions, validateOnly } = request;
        const assignments = request.assignments.map(({ replicas }) => replicas);
        const wanted = { totalPartitions, validateOnly, assignments };
        return { revision: BigInt(await active.addPartitions(name, wanted, signal)) };
      }),
    allocateProducerIds: (request, { signal }) =>
      answer("AllocateProducerIds", async (active) => {
        if (request.nodeId < 0) throw invalidRequest("node_id", `${request.nodeId} is negative`, 0);
        const { firstProducerId, count } = await active.allocateProducerIds(signal);
        return { firstProducerId: BigInt(firstProducerId), count };
      }),
  } satisfies Partial<Service>;
}

function forStorageNodes(answer: Answer) {
  return {
    alterIsr: (request) =>
      answer("AlterIsr", async (active) => ({ answers: await active.replicas.alterIsr(request) })),
    reportReplicas: (request) =>
      answer("ReportReplicas", async (active) => ({
        revision: BigInt(await active.replicas.report(request)),
      })),
    moveLeadersAway: (request) =>
      answer("MoveLeadersAway", async (active) => {
        const { nodeId, nodeEpoch } = request;
        const { revision, remaining } = await active.replicas.moveLeadersAway(nodeId, Number(nodeEpoch));
        return { revision: BigInt(revision), remaining };
      }),
  } satisfies Partial<Service>;
}

function forOperators(answer: Answer) {
  return {
    electLeaders: (request) =>
      answer("ElectLeaders", async (active) => {
        const type = request.unclean ? "unclean" : "preferred";
        const { revision, results } = await active.elections.elect(request.partitions, type);
        const answers = results.map(({ partition, error }) =>
          error === undefined ? { partition } : { partition, error: errorToMessage(error) },
        );
        return { revision: BigInt(revision), answers };
      }),
    alterReassignments: (request) =>
      answer("AlterReassignments", async (active) => {
        const wanted = request.reassignments.map(toReassignment);
        const { revision, errors } = await active.reassignments.alter(
          wanted,
          request.allowReplicationFactorChange,
        );
        const answers = errors.map((error) => (error === undefined ? {} : { error: errorToMessage(error) }));
        return { revision: BigInt(revision), answers };
      }),
    drainNode: (request) =>
      answer("DrainNode", async (active) => ({
        revision: BigInt(await active.records.setDrain(request.nodeId, wantedDrain(request))),
      })),
    recover: ({ execute, withoutNodes }) =>
      answer("Recover", async (active) => {
        const recovery = await active.recovery.recover({ execute, withoutNodes });
        return { revision: BigInt(recovery.revision ?? 0), plan: planFields(active.view, recovery) };
      }),
    alterBalancing: (request) =>
      answer("AlterBalancing", async (active) => ({
        revision: BigInt(await active.records.pauseBalancing(request.paused)),
      })),
    raiseFeatureLevel: (request, { signal }) =>
      answer("RaiseFeatureLevel", async (active) => {
        const { level, dryRun } = request;
        if (level < 0) throw invalidRequest("level", `${level} is negative`, 0);
        return levelChangeToMessage(await active.raiseFeatureLevel({ level, dryRun }, signal), active.levels);
      }),
  } satisfies Partial<Service>;
}

function wantedDrain({ drain, cordon }: DrainNodeRequest): WantedDrain {
  if (drain && cordon) throw invalidRequest("cordon", "it is given with `drain`");
  if (drain) return "draining";
  return cordon ? "cordoned" : "none";
}

function levelChangeToMessage(change: LevelChange, supported: LevelRange) {
  const { revision, formerLevel, targetLevel, refusal = "", nodes } = change;
  return {
    revision: BigInt(revision),
    formerLevel,
    targetLevel,
    minSupportedLevel: supported.min,
    maxSupportedLevel: supported.max,
    refusal,
    nodes: nodes.map(({ levels, ...node }) => ({
      ...node,
      minLevel: levels?.min ?? 0,
      maxLevel: levels?.max ?? 0,
    })),
  };
}

function toReassignment({ partition, replicas, cancel }: ReassignmentMessage): Reassignment {
  if (partition === undefined) throw invalidRequest("partition", "it is missing");
  if (cancel && replicas.length > 0) throw invalidRequest("replicas", "they are given with `cancel`");
  return { ref: partition, replicas: cancel ? undefined : replicas };
}
