import type { ConfigEntry, PartitionDescription, TopicDescription } from "@ottla/client";
import { OttlaError } from "@ottla/errors";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode, usageError } from "../exit-codes.ts";
import { onKnownTopic } from "../known-topic.ts";
import { type ConnectionFlags, type OutputFlags, outputFormat, pairs } from "../options.ts";
import { print, renderTable, UNCONFIRMED } from "../output/print.ts";
import { formatBytes, formatSeconds, parseCount } from "../units.ts";

export interface CreateFlags extends OutputFlags {
  readonly partitions?: string;
  readonly replicationFactor?: string;
  readonly replicaAssignment?: string;
  readonly config?: readonly string[];
  readonly ifNotExists?: boolean;
  readonly validateOnly?: boolean;
}

export async function createTopic(
  name: string,
  flags: CreateFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  const input = {
    name,
    partitions: flags.partitions === undefined ? undefined : parseCount("-p", flags.partitions, 1),
    replicationFactor:
      flags.replicationFactor === undefined ? undefined : parseCount("-r", flags.replicationFactor, 1),
    assignments:
      flags.replicaAssignment === undefined ? undefined : parseAssignments(flags.replicaAssignment),
    configs: Object.fromEntries(pairs("-c", flags.config)),
    validateOnly: flags.validateOnly === true,
  };
  return withOttla(flags, environment, async (ottla) => {
    try {
      const topic = await ottla.admin().createTopic(input);
      const done = input.validateOnly ? "would create" : "created";
      await print(
        environment,
        format,
        topic,
        () => `${done} ${name} with ${count(topic.partitions.length)}\n`,
      );
    } catch (thrown) {
      const exists = thrown instanceof OttlaError && thrown.code === "TOPIC_ALREADY_EXISTS";
      if (!exists || flags.ifNotExists !== true) throw thrown;
      environment.stderr.write(`${name} exists already\n`);
    }
    return ExitCode.ok;
  });
}

/** As kafka-topics takes it: partitions between commas, the nodes of their replicas between colons. */
function parseAssignments(text: string): number[][] {
  return text
    .split(",")
    .map((replicas) => replicas.split(":").map((nodeId) => parseCount("--replica-assignment", nodeId)));
}

export interface ListFlags extends OutputFlags {
  readonly internal?: boolean;
}

export async function listTopics(flags: ListFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const topics = await ottla.admin().listTopics({ includeInternal: flags.internal === true });
    await print(environment, format, topics, () =>
      renderTable({
        columns: ["name", "partitions", "replication factor", "topic id"],
        rows: topics.map((topic) => [topic.name, topic.partitions, topic.replicationFactor, topic.topicId]),
      }),
    );
    return ExitCode.ok;
  });
}

export interface DescribeFlags extends OutputFlags {
  readonly allConfigs?: boolean;
}

export async function describeTopics(
  names: readonly string[],
  flags: DescribeFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const topics: TopicDescription[] = [];
    let failure: Error | undefined;
    for (const name of names) {
      const describe = () => ottla.admin().describeTopics([name], { includeOffsets: true });
      try {
        topics.push(...(await onKnownTopic(name, describe)));
      } catch (thrown) {
        failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
      }
    }
    // Those that exist are shown, whatever is wrong with the others.
    if (topics.length > 0) {
      await print(environment, format, topics, () =>
        topics.map((topic) => topicText(topic, flags.allConfigs === true)).join("\n"),
      );
    }
    if (failure !== undefined) throw failure;
    return ExitCode.ok;
  });
}

export interface AlterFlags extends OutputFlags {
  readonly set?: readonly string[];
  readonly unset?: readonly string[];
  readonly partitions?: string;
  readonly validateOnly?: boolean;
}

export async function alterTopic(
  name: string,
  flags: AlterFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  const set = Object.fromEntries(pairs("--set", flags.set));
  const remove = flags.unset ?? [];
  const total = flags.partitions === undefined ? undefined : parseCount("--partitions", flags.partitions, 1);
  const validateOnly = flags.validateOnly === true;
  const changesConfig = Object.keys(set).length > 0 || remove.length > 0;
  if (!changesConfig && total === undefined) {
    throw usageError("nothing to change: give --set name=value, --unset name or --partitions N");
  }
  return withOttla(flags, environment, async (ottla) => {
    const admin = ottla.admin();
    const [topic] = await onKnownTopic(name, async () => {
      if (changesConfig) await admin.alterTopicConfig({ name, set, remove, validateOnly });
      if (total !== undefined) await admin.createPartitions(name, total, { validateOnly });
      return admin.describeTopics([name], { includeOffsets: true });
    });
    if (topic !== undefined) await print(environment, format, topic, () => topicText(topic, false));
    return ExitCode.ok;
  });
}

export async function deleteTopics(
  names: readonly string[],
  flags: ConnectionFlags & { readonly ifExists?: boolean },
  environment: CliEnvironment,
): Promise<number> {
  return withOttla(flags, environment, async (ottla) => {
    for (const name of names) {
      try {
        await onKnownTopic(name, () => ottla.admin().deleteTopic(name));
        environment.stdout.write(`deleted ${name}\n`);
      } catch (thrown) {
        const isUnknown = thrown instanceof CliError;
        if (!isUnknown || flags.ifExists !== true) throw thrown;
        environment.stderr.write(`${name} does not exist\n`);
      }
    }
    return ExitCode.ok;
  });
}

function topicText(topic: TopicDescription, allConfigs: boolean): string {
  const configs = topic.configs.filter(({ source }) => allConfigs || source === "topic");
  const away = topic.unconfirmed ? `${UNCONFIRMED}\n` : "";
  const head = `${topic.name}  ${topic.topicId}  ${count(topic.partitions.length)}\n${away}`;
  const partitions = renderTable({
    columns: [
      "partition",
      "leader",
      "epoch",
      "replicas",
      "in sync",
      "lag",
      "start",
      "high watermark",
      "end",
      "size",
    ],
    rows: topic.partitions.map((described) => [
      described.partition,
      described.leader,
      described.leaderEpoch,
      replicasText(described),
      described.inSyncReplicas.join(","),
      lagText(described),
      ...offsetCells(described),
    ]),
  });
  return configs.length === 0 ? `${head}${partitions}` : `${head}${partitions}\n${configTable(configs)}`;
}

function offsetCells({ offsets }: PartitionDescription): (string | bigint)[] {
  if (offsets === undefined) return ["?", "?", "?", "?"];
  const { logStartOffset, highWatermark, logEndOffset, sizeBytes } = offsets;
  return [logStartOffset, highWatermark, logEndOffset, formatBytes(Number(sizeBytes))];
}

/** "1,2,3", with what moves and what is not there: "1,2,+4,-3,5!". */
function replicasText(described: PartitionDescription): string {
  const { replicas, addingReplicas, removingReplicas, offlineReplicas } = described;
  const textOf = (nodeId: number): string => {
    const isAdded = addingReplicas.includes(nodeId) ? "+" : "";
    const isRemoved = removingReplicas.includes(nodeId) ? "-" : "";
    return `${isAdded}${isRemoved}${nodeId}${offlineReplicas.includes(nodeId) ? "!" : ""}`;
  };
  return replicas.map(textOf).join(",");
}

/** The replicas that are behind, by how many records and for how long: "2:15 (3.0 s)". */
function lagText({ progress, leader }: PartitionDescription): string {
  const behind = progress.filter(({ nodeId, lagRecords }) => nodeId !== leader && lagRecords !== 0n);
  return behind
    .map(({ nodeId, lagRecords, lagMs }) =>
      lagRecords < 0n ? `${nodeId}:?` : `${nodeId}:${lagRecords} (${formatSeconds(Math.max(0, lagMs))})`,
    )
    .join(" ");
}

function configTable(configs: readonly ConfigEntry[]): string {
  return renderTable({
    columns: ["setting", "value", "source"],
    rows: configs.map(({ name, value, source }) => [name, value, source]),
  });
}

function count(partitions: number): string {
  return partitions === 1 ? "1 partition" : `${partitions} partitions`;
}
