import type { GroupDescription, Ottla } from "@ottla/client";
import { OttlaError } from "@ottla/errors";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { CliError, describeFailure, ExitCode, usageError } from "../exit-codes.ts";
import { onKnownTopic } from "../known-topic.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { print, renderTable } from "../output/print.ts";
import { parseStartPosition, type StartPosition } from "../start-position.ts";
import { parseCount, plural } from "../units.ts";

export interface GroupListFlags extends OutputFlags {
  readonly state?: readonly string[];
}

const STATES = ["Empty", "Stable", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"];

export async function listGroups(flags: GroupListFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  for (const state of flags.state ?? []) checkState(state);
  return withOttla(flags, environment, async (ottla) => {
    const groups = await ottla.groups().list(flags.state);
    await print(environment, format, groups, () =>
      renderTable({
        columns: ["group", "state", "protocol"],
        rows: groups.map(({ group, state, type }) => [group, state, type]),
      }),
    );
    return ExitCode.ok;
  });
}

function checkState(state: string): void {
  if (STATES.some((known) => known.toLowerCase() === state.toLowerCase())) return;
  throw usageError(`-s ${state}: must be one of ${STATES.join(", ")}`);
}

export async function describeGroups(
  names: readonly string[],
  flags: OutputFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const described = await Promise.allSettled(names.map((name) => ottla.groups().describe(name)));
    const groups = described.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const failures = described.flatMap((each) =>
      each.status === "rejected" ? [each.reason as unknown] : [],
    );
    if (groups.length > 0)
      await print(environment, format, groups, () => groups.map(describedText).join("\n"));
    return endOfMany(failures, environment);
  });
}

function describedText({ group, state, type, assignor, members, offsets }: GroupDescription): string {
  const head = `${group}: ${state}, ${plural(members.length, "member")}, ${type} protocol`;
  const assigned = assignor === "" ? "" : `, assignor ${assignor}`;
  const lags = offsets.flatMap(({ lag }) => (lag < 0n ? [] : [lag]));
  const lag = lags.length === 0 ? "" : `, lag ${lags.reduce((sum, each) => sum + each)}`;
  const hasStatic = members.some(({ instanceId }) => instanceId !== undefined);
  const memberTable = renderTable({
    columns: ["member", ...(hasStatic ? ["instance"] : []), "client", "host", "partitions"],
    rows: members.map(({ memberId, instanceId, clientId, clientHost, partitions }) => [
      memberId,
      ...(hasStatic ? [instanceId ?? "-"] : []),
      clientId,
      clientHost,
      partitions.map(({ topic, partition }) => `${topic}-${partition}`).join(" "),
    ]),
  });
  const offsetTable = renderTable({
    columns: ["topic", "partition", "committed", "end", "lag", "member"],
    rows: offsets.map((offset) => [
      offset.topic,
      offset.partition,
      ...[offset.committedOffset, offset.highWatermark, offset.lag].map((value) =>
        value < 0n ? "-" : value,
      ),
      offset.memberId ?? "-",
    ]),
  });
  return [
    `${head}${assigned}${lag}\n`,
    members.length > 0 ? memberTable : "",
    offsets.length > 0 ? offsetTable : "",
  ]
    .filter((part) => part !== "")
    .join("\n");
}

export async function deleteGroups(
  names: readonly string[],
  flags: OutputFlags,
  environment: CliEnvironment,
): Promise<number> {
  return withOttla(flags, environment, async (ottla) => {
    const failures: unknown[] = [];
    for (const name of names) {
      try {
        await ottla.groups().delete(name);
        environment.stdout.write(`deleted ${name}\n`);
      } catch (thrown) {
        failures.push(thrown);
      }
    }
    return endOfMany(failures, environment);
  });
}

/** What is wrong with one of many groups keeps no other from its turn. Says all, ends with the last. */
async function endOfMany(failures: readonly unknown[], environment: CliEnvironment): Promise<number> {
  const last = failures.at(-1);
  if (last === undefined) return ExitCode.ok;
  for (const failure of failures.slice(0, -1)) {
    environment.stderr.write(`ottla: ${describeFailure(failure).message}\n`);
  }
  return Promise.reject(last);
}

export interface ResetFlags extends OutputFlags {
  readonly to: string;
  readonly topic?: readonly string[];
  readonly execute?: boolean;
}

interface Reset {
  readonly topic: string;
  readonly partition: number;
  /** -1n when the group had none. */
  readonly from: bigint;
  readonly to: bigint;
}

/** Shows where a group would go on, and sets it with --execute. */
export async function resetOffsets(
  group: string,
  flags: ResetFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  const clock = await environment.clock();
  const target = parseTarget(flags.to, clock.now());
  return withOttla(flags, environment, async (ottla) => {
    const { places, memberCount } = await placesOf(ottla, group, flags.topic);
    if (places.length === 0) {
      throw new CliError(ExitCode.failed, `group "${group}" has no offsets yet: name topics with -t`);
    }
    const resets = await resetsOf(ottla, places, target);
    const execute = flags.execute === true;
    if (memberCount > 0) {
      const inTheWay = `group "${group}" has ${plural(memberCount, "member")}: stop them first`;
      if (execute) throw new CliError(ExitCode.failed, `${inTheWay} (NON_EMPTY_GROUP)`);
      environment.stderr.write(`ottla: ${inTheWay}, with them --execute is refused\n`);
    }
    if (execute) {
      const offsets = resets.map(({ topic, partition, to }) => ({ topic, partition, nextOffset: to }));
      await ottla.groups().commitOffsets(group, offsets);
    }
    await print(environment, format, resets, () => resetText(resets, execute));
    return ExitCode.ok;
  });
}

function resetText(resets: readonly Reset[], execute: boolean): string {
  const table = renderTable({
    columns: ["topic", "partition", "from", execute ? "to" : "would go to"],
    rows: resets.map(({ topic, partition, from, to }) => [topic, partition, from < 0n ? "-" : from, to]),
  });
  return execute ? table : `${table}\nNothing was changed: add --execute to do it.\n`;
}

type Target = StartPosition | { readonly kind: "shift"; readonly count: number };

function parseTarget(text: string, nowMs: number): Target {
  const shift = /^shift:([+-]?\d+)$/.exec(text);
  if (shift?.[1] !== undefined) return { kind: "shift", count: Number(shift[1]) };
  const refusal = `--to ${text}: must be start, end, an offset, @time, or shift:N such as shift:-10`;
  const target = parseStartPosition(text, nowMs, refusal);
  if (target.kind !== "before-end") return target;
  throw usageError(refusal);
}

interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly committedOffset: bigint;
}

/** What the group has, or what topics name: `orders`, or `orders:0,3`. */
async function placesOf(
  ottla: Ottla,
  group: string,
  topics: readonly string[] | undefined,
): Promise<{ places: readonly Place[]; memberCount: number }> {
  const { offsets, members } = await ottla
    .groups()
    .describe(group)
    .catch((thrown: unknown): Pick<GroupDescription, "offsets" | "members"> => {
      // With topics named, a group may begin with its offsets.
      const isUnknown = thrown instanceof OttlaError && thrown.code === "GROUP_ID_NOT_FOUND";
      if (topics !== undefined && isUnknown) return { offsets: [], members: [] };
      throw thrown;
    });
  const memberCount = members.length;
  if (topics === undefined) {
    return { places: offsets.filter(({ committedOffset }) => committedOffset >= 0n), memberCount };
  }
  const places = new Map<string, Place>();
  for (const text of topics) {
    const [topic = "", list] = text.split(":");
    const count = await onKnownTopic(topic, () => ottla.admin().countPartitions(topic));
    const all = Array.from({ length: count }, (_, partition) => partition);
    for (const partition of list === undefined ? all : list.split(",").map((one) => parseCount("-t", one))) {
      const offset = offsets.find((each) => each.topic === topic && each.partition === partition);
      const committedOffset = offset?.committedOffset ?? -1n;
      places.set(`${topic}/${partition}`, { topic, partition, committedOffset });
    }
  }
  return { places: [...places.values()], memberCount };
}

async function resetsOf(ottla: Ottla, places: readonly Place[], target: Target): Promise<Reset[]> {
  if (places.length === 0) return [];
  const find = async (at: "earliest" | "latest" | { readonly timestampMs: number }): Promise<bigint[]> => {
    const queries = places.map(({ topic, partition }) => ({ topic, partition, at }));
    return (await ottla.admin().listOffsets(queries)).map(({ offset }) => offset);
  };
  const [starts, ends] = await Promise.all([find("earliest"), find("latest")]);
  const times = target.kind === "time" ? await find({ timestampMs: target.timestampMs }) : [];
  return places.map(({ topic, partition, committedOffset }, index) => {
    const [start = 0n, end = 0n, time = -1n] = [starts[index], ends[index], times[index]];
    const wanted = wantedOffset(target, { start, end, time, committed: committedOffset });
    const to = wanted < start ? start : wanted > end ? end : wanted;
    return { topic, partition, from: committedOffset, to };
  });
}

/** Before it is kept between the start and the end of the partition. */
function wantedOffset(
  target: Target,
  at: { readonly start: bigint; readonly end: bigint; readonly time: bigint; readonly committed: bigint },
): bigint {
  switch (target.kind) {
    case "earliest":
      return at.start;
    case "latest":
      return at.end;
    case "offset":
      return BigInt(target.offset);
    case "time":
      // Nothing since then: what comes next.
      return at.time < 0n ? at.end : at.time;
    case "shift":
      return (at.committed < 0n ? at.start : at.committed) + BigInt(target.count);
    case "before-end":
      return at.end - BigInt(target.count);
    default:
      return target satisfies never;
  }
}
