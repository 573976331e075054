import { OttlaError } from "@ottla/errors";
import type {
  AlterTopicConfigRequest,
  CreatePartitionsRequest,
  CreateTopicRequest,
  DeleteTopicRequest,
} from "@ottla/proto/ottla/v1/admin";
import type { ControllerClient } from "@ottla/routing";
import { LATEST_TIMESTAMP } from "@ottla/routing";
import type { CallContext } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { checkConfigs, checkCount, checkInteger, LIMITS } from "../checks.ts";
import { refuseWhenDisksAreFull } from "../full-disks.ts";
import { checkTopicName, refuseInternal, type Topic, type Topics } from "../topics.ts";
import { type DescribeOptions, describeConfigs, describeTopics, type TopicInit } from "./describe-topic.ts";

export interface TopicChangeOptions extends DescribeOptions {
  readonly topics: Topics;
  readonly controller: ControllerClient;
  readonly clock: Clock;
}

/** How long a change that was made may take to show in the view and at the leaders. */
const SETTLE_MS = 15_000;
const RETRY_MS = 20;

/** Creates a topic and answers when all its partitions are served. */
export async function createTopic(
  options: TopicChangeOptions,
  request: CreateTopicRequest,
  context: CallContext,
): Promise<{ topic: TopicInit }> {
  const { name, configs, validateOnly } = request;
  checkTopicName(name, "name");
  const partitions = checkInteger("partitions", request.partitions, 0, LIMITS.partitions);
  const replicationFactor = checkInteger(
    "replication_factor",
    request.replicationFactor,
    0,
    LIMITS.replicationFactor,
  );
  checkConfigs("configs", configs);
  const assignments = checkAssignments(request);
  await refuseWhenDisksAreFull(options);
  const created = await options.controller.call((client) =>
    client.createTopic({ name, partitions, replicationFactor, configs, validateOnly, assignments }),
  );
  if (validateOnly) {
    const planned = Array.from({ length: created.partitions }, (_, partition) => ({ partition, leader: -1 }));
    const described = describeConfigs(configs, options.topicDefaults, created.replicationFactor);
    return { topic: { name, partitions: planned, configs: described } };
  }
  return { topic: await settled(options, name, created.revision, context) };
}

/** That they are not too many; whether they can be is for the coordinator to say. */
function checkAssignments({ assignments }: CreateTopicRequest): { replicas: number[] }[] {
  if (assignments.length === 0) return [];
  checkCount("assignments", assignments.length, LIMITS.partitions);
  return assignments.map(({ replicas }, partition) => {
    checkCount(`assignments[${partition}].replicas`, replicas.length, LIMITS.replicationFactor);
    return { replicas };
  });
}

export async function createPartitions(
  options: TopicChangeOptions,
  request: CreatePartitionsRequest,
  context: CallContext,
): Promise<{ topic: TopicInit }> {
  const { name, validateOnly } = request;
  const totalPartitions = checkInteger("total_partitions", request.totalPartitions, 1, LIMITS.partitions);
  const topic = await options.topics.get(name, "name");
  refuseInternal(topic, "name");
  await refuseWhenDisksAreFull(options);
  const changed = await options.controller.call((client) =>
    client.createPartitions({ name, totalPartitions, validateOnly }),
  );
  if (!validateOnly) return { topic: await settled(options, name, changed.revision, context) };
  const [described] = await describeTopics(options, [topic], { offsets: false });
  return { topic: described ?? { name } };
}

export async function deleteTopic(
  options: TopicChangeOptions,
  request: DeleteTopicRequest,
  context: CallContext,
): Promise<object> {
  const { name } = request;
  refuseInternal(await options.topics.get(name, "name"), "name");
  const deleted = await options.controller.call((client) => client.deleteTopic({ name }));
  await shown(options, deleted.revision, context);
  return {};
}

export async function alterTopicConfig(
  options: TopicChangeOptions,
  request: AlterTopicConfigRequest,
  context: CallContext,
): Promise<{ configs: ReturnType<typeof describeConfigs> }> {
  const { name, set, remove, validateOnly } = request;
  checkConfigs("set", set);
  if (Object.keys(set).length === 0) checkCount("remove", remove.length, LIMITS.configEntries);
  checkConfigs("remove", Object.fromEntries(remove.map((setting) => [setting, ""])));
  const topic = await options.topics.get(name, "name");
  refuseInternal(topic, "name");
  const changed = await options.controller.call((client) =>
    client.alterTopicConfig({ name, set, remove, validateOnly }),
  );
  if (!validateOnly) await shown(options, changed.revision, context);
  const configs = validateOnly
    ? merged(topic.state.configs, set, remove)
    : (options.topics.find(name)?.state.configs ?? {});
  return { configs: describeConfigs(configs, options.topicDefaults, topic.state.replicationFactor) };
}

function merged(
  before: Readonly<Record<string, string>>,
  set: Readonly<Record<string, string>>,
  remove: readonly string[],
): Record<string, string> {
  const kept = Object.entries(before).filter(([setting]) => !remove.includes(setting));
  return { ...Object.fromEntries(kept), ...set };
}

/** Waits until this gateway's view has the change: the caller's next call sees it. */
export async function shown(
  options: TopicChangeOptions,
  revision: bigint,
  context: CallContext,
): Promise<void> {
  await withDeadline(options, context, "the change was made, but it does not show yet", (signal) =>
    options.view.waitForRevision(Number(revision), signal),
  );
}

/** Waits until the topic's partitions have leaders that answer. */
async function settled(
  options: TopicChangeOptions,
  name: string,
  revision: bigint,
  context: CallContext,
): Promise<TopicInit> {
  const { topics, router, clock } = options;
  await shown(options, revision, context);
  const late = `topic ${name} was changed, but not all its partitions are served yet`;
  return withDeadline(options, context, late, async (signal) => {
    const topic = await topics.get(name, "name");
    for (let waiting = partitionsOf(topic); ; ) {
      const found = await router.listOffsets(waiting, signal);
      waiting = waiting.filter((_, index) => found[index] instanceof OttlaError);
      signal.throwIfAborted();
      if (waiting.length === 0) break;
      // Deleted meanwhile: its partitions will never be served.
      if (topics.find(name, "name")?.topicId !== topic.topicId) {
        throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `topic ${name} was deleted meanwhile`);
      }
      // Refusals may come within the turn, and an unbroken row of them would let nothing else run.
      await clock.sleep(RETRY_MS, signal);
    }
    const [described] = await describeTopics(options, [topic], { offsets: false });
    return described ?? { name };
  });
}

function partitionsOf({ topicId, partitionCount }: Topic): {
  topicId: string;
  partition: number;
  timestampMs: number;
}[] {
  return Array.from({ length: partitionCount }, (_, partition) => ({
    topicId,
    partition,
    timestampMs: LATEST_TIMESTAMP,
  }));
}

async function withDeadline<T>(
  options: TopicChangeOptions,
  context: CallContext,
  late: string,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = new AbortController();
  const timer = options.clock.setTimer(SETTLE_MS, () =>
    deadline.abort(new OttlaError("REQUEST_TIMED_OUT", late)),
  );
  try {
    return await run(AbortSignal.any([deadline.signal, context.signal]));
  } catch (thrown) {
    if (deadline.signal.aborted) throw deadline.signal.reason;
    throw thrown;
  } finally {
    timer.cancel();
  }
}
