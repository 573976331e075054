import type {
  AssignmentInput,
  ConsumedBatch,
  ConsumedRecord,
  Consumer,
  GroupConsumer,
  Ottla,
  TopicPartition,
} from "@ottla/client";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode, usageError } from "../exit-codes.ts";
import { untilGroupHasRead } from "../group-end.ts";
import { onKnownTopic } from "../known-topic.ts";
import type { ConnectionFlags } from "../options.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import { compileFormat } from "../output/format-string.ts";
import { jsonLine } from "../output/json-line.ts";
import { Progress } from "../output/progress.ts";
import { parseStartPosition, type StartPosition } from "../start-position.ts";
import { formatBytes, formatSeconds, parseCount, plural } from "../units.ts";

export interface ConsumeFlags extends ConnectionFlags {
  readonly offset?: string;
  readonly group?: string;
  readonly pattern?: string;
  readonly partition?: string;
  readonly count?: string;
  readonly exitAtEnd?: boolean;
  readonly format?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

type WriteRecord = (record: ConsumedRecord, out: ByteWriter) => void;

interface ConsumeWork {
  readonly topics: readonly string[];
  /** With a group: all topics whose name matches, too. */
  readonly pattern: string | undefined;
  /** The group as whose member it reads; undefined when it reads for itself. */
  readonly group: string | undefined;
  readonly partitions: readonly number[] | undefined;
  readonly start: StartPosition;
  readonly limit: number;
  readonly stopAtEnd: boolean;
  readonly write: WriteRecord;
  readonly quiet: boolean;
  readonly environment: CliEnvironment;
}

interface Tally {
  records: number;
  bytes: number;
  interrupted: boolean;
  /** A batch of the group is being written: it is acknowledged before the group is left. */
  isWriting: boolean;
}

/** `ottla consume`: reads topics and writes its records to standard output. */
export async function runConsume(
  topics: readonly string[],
  flags: ConsumeFlags,
  environment: CliEnvironment,
): Promise<number> {
  const clock = await environment.clock();
  const group = checkedGroup(flags);
  checkTopics(topics, flags);
  if (flags.json === true && flags.format !== undefined) throw usageError("--json and -f exclude each other");
  const work: ConsumeWork = {
    topics: [...new Set(topics)],
    pattern: flags.pattern,
    group,
    partitions: flags.partition?.split(",").map((text) => parseCount("-p", text)),
    start: parseStartPosition(flags.offset ?? (group === undefined ? "end" : "start"), clock.now()),
    limit: flags.count === undefined ? Infinity : parseCount("-n", flags.count),
    stopAtEnd: flags.exitAtEnd === true,
    write: recordWriter(flags),
    quiet: flags.quiet === true,
    environment,
  };
  return withOttla(flags, environment, (ottla) => consumeAll(ottla, work));
}

/** What a group decides cannot be asked for. */
function checkedGroup({ group, partition, offset }: ConsumeFlags): string | undefined {
  if (group === undefined) return undefined;
  if (partition !== undefined)
    throw usageError("-g and -p exclude each other: the group shares out partitions");
  if (offset === undefined || ["start", "beginning", "earliest", "end", "latest"].includes(offset))
    return group;
  throw usageError(
    `-o ${offset}: with -g it must be start or end, for partitions where the group has no place`,
  );
}

function checkTopics(topics: readonly string[], { group, pattern, exitAtEnd }: ConsumeFlags): void {
  if (topics.length === 0 && pattern === undefined) throw usageError("missing required argument 'topics'");
  if (pattern === undefined) return;
  if (group === undefined) throw usageError("--pattern needs -g: a group follows topics that come later");
  if (exitAtEnd === true) throw usageError("--pattern and -e exclude each other: more topics may come");
}

function recordWriter(flags: ConsumeFlags): WriteRecord {
  if (flags.json === true) return (record, out) => out.text(jsonLine(record));
  if (flags.format !== undefined) return compileFormat(flags.format);
  return ({ value }, out) => {
    if (value !== null) out.bytes(value);
    out.ascii("\n");
  };
}

async function consumeAll(ottla: Ottla, work: ConsumeWork): Promise<number> {
  const { environment } = work;
  const clock = await environment.clock();
  const tally: Tally = { records: 0, bytes: 0, interrupted: false, isWriting: false };
  const { group, topics, pattern: topicPattern } = work;
  const assignments = group === undefined ? await assignmentsOf(ottla, work) : [];
  const from = work.start.kind === "latest" ? "latest" : "earliest";
  const consumer =
    group === undefined ? ottla.consumer() : ottla.consumer({ group, topics, topicPattern, from });
  const removeHandler = environment.onInterrupt(() => {
    if (tally.interrupted) process.exit(ExitCode.interrupted);
    tally.interrupted = true;
    if (!tally.isWriting) void consumer.close();
  });
  // Progress and output on the same terminal would be in each other's way.
  const progress = new Progress(environment, clock, work.quiet || environment.stdoutIsTerminal, () => tally);
  try {
    if (!("assign" in consumer)) {
      if (work.stopAtEnd) await copyToGroupEnd(ottla, consumer, work, tally);
      else await copyOutOfGroup(consumer, work, tally);
    } else {
      await consumer.assign(assignments);
      if (work.limit > 0) await copyOut(consumer, work, tally);
    }
  } finally {
    removeHandler();
    progress.stop();
    await consumer.close();
  }
  if (!work.quiet && !environment.stdoutIsTerminal)
    environment.stderr.write(summary(tally, progress.elapsedMs));
  return tally.interrupted ? ExitCode.interrupted : ExitCode.ok;
}

async function copyOut(consumer: Consumer, work: ConsumeWork, tally: Tally): Promise<void> {
  const out = new ByteWriter(work.environment.stdout);
  for await (const batch of consumer.batches({ stopAtEnd: work.stopAtEnd })) {
    writeBatch(batch, work, tally, out);
    await out.flush();
    if (tally.records >= work.limit || tally.interrupted || out.closed) return;
  }
}

/** Until the group, all its members together, is done with what is there now. */
async function copyToGroupEnd(
  ottla: Ottla,
  consumer: GroupConsumer,
  work: ConsumeWork,
  tally: Tally,
): Promise<void> {
  const { environment, group = "", topics } = work;
  const from = work.start.kind === "latest" ? "latest" : "earliest";
  const [clock, places] = await Promise.all([environment.clock(), allPlaces(ottla, topics)]);
  const over = new AbortController();
  let failure: { readonly reason: unknown } | undefined;
  const watch = async (): Promise<void> => {
    try {
      await untilGroupHasRead(ottla, { group, places, from, clock, signal: over.signal });
    } catch (thrown) {
      if (!over.signal.aborted) failure = { reason: thrown };
    } finally {
      await consumer.close();
    }
  };
  const watching = watch();
  try {
    await copyOutOfGroup(consumer, work, tally);
  } finally {
    over.abort();
    await watching;
  }
  if (failure !== undefined) await Promise.reject(failure.reason);
}

/** What is written is done with: the group goes on after it. */
async function copyOutOfGroup(consumer: GroupConsumer, work: ConsumeWork, tally: Tally): Promise<void> {
  const out = new ByteWriter(work.environment.stdout);
  if (work.limit === 0) return;
  for await (const batch of consumer.batches()) {
    tally.isWriting = true;
    const last = writeBatch(batch, work, tally, out);
    await out.flush();
    tally.isWriting = false;
    // Nobody has read it, perhaps.
    if (out.closed) return;
    if (tally.records < work.limit && !tally.interrupted) continue;
    if (last !== undefined) consumer.acknowledge(last);
    return;
  }
}

/** Writes records until there are as many as were asked for; returns the last one. */
function writeBatch(
  batch: ConsumedBatch,
  work: ConsumeWork,
  tally: Tally,
  out: ByteWriter,
): ConsumedRecord | undefined {
  const { write, limit } = work;
  let last: ConsumedRecord | undefined;
  for (const record of batch) {
    write(record, out);
    tally.bytes += sizeOf(record);
    last = record;
    if (++tally.records >= limit) break;
  }
  return last;
}

/** What the record says: a server may send more than was asked for, and packed. */
function sizeOf({ key, value, headers }: ConsumedRecord): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) bytes += header.key.length + (header.value?.length ?? 0);
  return bytes;
}

async function assignmentsOf(ottla: Ottla, work: ConsumeWork): Promise<AssignmentInput[]> {
  const { topics, partitions, start } = work;
  const places =
    partitions === undefined
      ? await allPlaces(ottla, topics)
      : topics.flatMap((topic) => partitions.map((partition) => ({ topic, partition })));
  switch (start.kind) {
    case "earliest":
    case "latest":
      return places.map((place) => ({ ...place, offset: start.kind }));
    case "offset":
      return places.map((place) => ({ ...place, offset: start.offset }));
    case "time":
      return places.map((place) => ({ ...place, offset: { timestampMs: start.timestampMs } }));
    case "before-end":
      return beforeEnd(ottla, places, start.count);
    default:
      throw new Error(`unknown start ${JSON.stringify(start satisfies never)}`);
  }
}

async function beforeEnd(
  ottla: Ottla,
  places: readonly TopicPartition[],
  count: number,
): Promise<AssignmentInput[]> {
  const admin = ottla.admin();
  const starts = await admin.listOffsets(places.map((place) => ({ ...place, at: "earliest" })));
  const ends = await admin.listOffsets(places.map((place) => ({ ...place, at: "latest" })));
  return places.map((place, index) => {
    const start = starts[index]?.offset ?? 0n;
    const wanted = (ends[index]?.offset ?? 0n) - BigInt(count);
    return { ...place, offset: wanted > start ? wanted : start };
  });
}

async function allPlaces(ottla: Ottla, topics: readonly string[]): Promise<TopicPartition[]> {
  const admin = ottla.admin();
  const places = topics.map(async (topic) => {
    const count = await onKnownTopic(topic, () => admin.countPartitions(topic));
    return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
  });
  return (await Promise.all(places)).flat();
}

function summary(tally: Tally, elapsedMs: number): string {
  const seconds = Math.max(0.001, elapsedMs / 1000);
  const rate = `${plural(tally.records / seconds, "record")}/s, ${formatBytes(tally.bytes / seconds)}/s`;
  const interrupted = tally.interrupted ? "interrupted: " : "";
  return `${interrupted}${plural(tally.records, "record")} in ${formatSeconds(elapsedMs)} (${rate})\n`;
}
