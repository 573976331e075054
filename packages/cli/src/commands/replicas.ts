import type { ElectionResult, Ottla, PartitionReassignment, ReassignmentResult } from "@ottla/client";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode, usageError } from "../exit-codes.ts";
import { readWhole } from "../input/files.ts";
import { parseReassignmentPlan } from "../input/reassignment-plan.ts";
import { onKnownTopic } from "../known-topic.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { print, renderTable } from "../output/print.ts";
import { parseCount } from "../units.ts";

export interface ElectFlags extends OutputFlags {
  readonly partition?: string;
  readonly all?: boolean;
  readonly unclean?: boolean;
}

export async function electLeaders(
  name: string | undefined,
  flags: ElectFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  if ((name === undefined) !== (flags.all === true))
    throw usageError("give a topic, or --all for all topics");
  if (name === undefined && flags.partition !== undefined) throw usageError("-p: needs a topic");
  return withOttla(flags, environment, async (ottla) => {
    const partitions = name === undefined ? undefined : await partitionsOf(ottla, name, flags.partition);
    const results = await ottla.admin().electLeaders({ partitions, unclean: flags.unclean === true });
    await print(environment, format, results.map(plain), () =>
      renderTable({
        columns: ["topic", "partition", "leader", "outcome"],
        rows: results.map((result) => [result.topic, result.partition, result.leader, outcomeOf(result)]),
      }),
    );
    const isAmiss = ({ error }: ElectionResult): boolean =>
      error !== undefined && error.code !== "ELECTION_NOT_NEEDED";
    return results.some(isAmiss) ? ExitCode.failed : ExitCode.ok;
  });
}

export interface ReassignFlags extends OutputFlags {
  readonly partition?: string;
  readonly replicas?: string;
  readonly plan?: string;
  readonly cancel?: boolean;
  readonly list?: boolean;
  readonly changeReplicationFactor?: boolean;
}

export async function reassignTopic(
  name: string | undefined,
  flags: ReassignFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  if (flags.list === true) return listReassignments(name, flags, environment);
  const plan = await plannedOf(name, flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const wanted = await wantedOf(ottla, plan, flags);
    const allowReplicationFactorChange = flags.changeReplicationFactor === true;
    const results = await ottla.admin().reassignPartitions(wanted, { allowReplicationFactorChange });
    await print(environment, format, results.map(plain), () =>
      renderTable({
        columns: ["topic", "partition", "outcome"],
        rows: results.map((result) => [result.topic, result.partition, reassignmentOutcome(result, flags)]),
      }),
    );
    return isDone(results, plan, flags) ? ExitCode.ok : ExitCode.failed;
  });
}

/** To cancel a whole topic's moves is to end those that there are: not all its partitions need have one. */
function isDone(results: readonly ReassignmentResult[], plan: Plan, flags: ReassignFlags): boolean {
  const failed = results.filter(({ error }) => error !== undefined);
  const isWholeTopic = plan.kind === "topic" && flags.cancel === true && flags.partition === undefined;
  if (!isWholeTopic || failed.length === results.length) return failed.length === 0;
  return failed.every(({ error }) => error?.code === "NO_REASSIGNMENT_IN_PROGRESS");
}

async function listReassignments(
  name: string | undefined,
  flags: ReassignFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const list = () => ottla.admin().listReassignments(name === undefined ? [] : [name]);
    const moves = name === undefined ? await list() : await onKnownTopic(name, list);
    await print(environment, format, moves, () =>
      renderTable({
        columns: ["topic", "partition", "replicas", "adding", "removing"],
        rows: moves.map((move) => [
          move.topic,
          move.partition,
          move.replicas.join(","),
          move.addingReplicas.join(","),
          move.removingReplicas.join(","),
        ]),
      }),
    );
    return ExitCode.ok;
  });
}

/** What is to be moved: named in a file, or a topic (or some of its partitions) and where it is to go. */
type Plan =
  | { readonly kind: "file"; readonly reassignments: readonly PartitionReassignment[] }
  | { readonly kind: "topic"; readonly name: string; readonly replicas: readonly number[] | "cancel" };

async function plannedOf(
  name: string | undefined,
  flags: ReassignFlags,
  environment: CliEnvironment,
): Promise<Plan> {
  const { plan, replicas, cancel = false } = flags;
  if ((name === undefined) === (plan === undefined)) throw usageError("give a topic, or --plan with a file");
  if (plan !== undefined) {
    if (replicas !== undefined || flags.partition !== undefined) {
      throw usageError("--plan: says itself which partitions and replicas; leave -p and --replicas out");
    }
    const text = await readWhole(plan, environment);
    return { kind: "file", reassignments: parseReassignmentPlan(plan, text) };
  }
  if ((replicas === undefined) !== cancel) throw usageError("give --replicas, or --cancel");
  const nodeIds = replicas?.split(",").map((each) => parseCount("--replicas", each));
  return { kind: "topic", name: name ?? "", replicas: nodeIds ?? "cancel" };
}

async function wantedOf(
  ottla: Ottla,
  plan: Plan,
  flags: ReassignFlags,
): Promise<readonly PartitionReassignment[]> {
  if (plan.kind === "file") {
    return flags.cancel === true
      ? plan.reassignments.map((each) => ({ ...each, replicas: "cancel" as const }))
      : plan.reassignments;
  }
  const partitions = await partitionsOf(ottla, plan.name, flags.partition);
  return partitions.map((each) => ({ ...each, replicas: plan.replicas }));
}

async function partitionsOf(
  ottla: Ottla,
  topic: string,
  numbers: string | undefined,
): Promise<{ topic: string; partition: number }[]> {
  if (numbers !== undefined) {
    return numbers.split(",").map((text) => ({ topic, partition: parseCount("-p", text) }));
  }
  const count = await onKnownTopic(topic, () => ottla.admin().countPartitions(topic));
  return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
}

function outcomeOf({ error }: ElectionResult): string {
  if (error === undefined) return "elected";
  return error.code === "ELECTION_NOT_NEEDED" ? "not needed" : `${error.message} (${error.code})`;
}

function reassignmentOutcome({ error }: ReassignmentResult, { cancel }: ReassignFlags): string {
  if (cancel === true && error?.code === "NO_REASSIGNMENT_IN_PROGRESS") return "no move under way";
  if (error !== undefined) return `${error.message} (${error.code})`;
  return cancel === true ? "cancelled" : "begun";
}

/** An error as data for programs. */
function plain({ error, ...rest }: ElectionResult | ReassignmentResult): object {
  return error === undefined ? rest : { ...rest, error: { code: error.code, message: error.message } };
}
