import type { BatchOutcome, Ottla, Producer, ProducerOptions } from "@ottla/client";
import { type OttlaError, toOttlaError } from "@ottla/errors";
import { COMPRESSIONS } from "@ottla/records";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode } from "../exit-codes.ts";
import { unescapeBytes } from "../input/escapes.ts";
import { type InputFile, openInputs } from "../input/files.ts";
import { type RecordShape, RecordSource } from "../input/record-source.ts";
import { Interruption } from "../interruption.ts";
import { onKnownTopic } from "../known-topic.ts";
import { type ConnectionFlags, choice, pairs } from "../options.ts";
import { Progress } from "../output/progress.ts";
import { formatBytes, formatCount, formatSeconds, parseBytes, parseCount, plural } from "../units.ts";

export interface ProduceFlags extends ConnectionFlags {
  readonly input: string;
  readonly keySeparator?: string;
  readonly header?: readonly string[];
  readonly compression: string;
  readonly acks: string;
  readonly partition?: string;
  readonly emptyAsNull?: boolean;
  readonly lingerMs?: string;
  readonly batchBytes?: string;
  readonly maxRecordBytes: string;
  readonly quiet?: boolean;
}

const ACKS = { all: "all", "-1": "all", leader: "leader", "1": "leader", none: "none", "0": "none" } as const;

/** `ottla produce`: reads records from files or standard input and sends them. */
export async function runProduce(
  topic: string,
  files: readonly string[],
  flags: ProduceFlags,
  environment: CliEnvironment,
): Promise<number> {
  const shape = recordShape(topic, flags);
  const options = producerOptions(flags);
  const inputs = await openInputs(files, environment);
  return withOttla(flags, environment, async (ottla) => {
    const advice = `: create it with \`ottla topic create ${topic}\``;
    await onKnownTopic(topic, () => ottla.admin().describeTopics([topic]), advice);
    return produceAll({ ottla, shape, options, inputs, flags, environment });
  });
}

export function producerOptions(flags: {
  readonly acks: string;
  readonly compression: string;
  readonly lingerMs?: string;
  readonly batchBytes?: string;
}): ProducerOptions {
  return {
    acks: ACKS[choice("--acks", flags.acks, ["all", "-1", "leader", "1", "none", "0"])],
    compression: choice("-z", flags.compression, COMPRESSIONS),
    lingerMs: flags.lingerMs === undefined ? undefined : parseCount("--linger-ms", flags.lingerMs),
    batchBytes: flags.batchBytes === undefined ? undefined : parseBytes("--batch-bytes", flags.batchBytes),
  };
}

function recordShape(topic: string, flags: ProduceFlags): RecordShape {
  const headers = pairs("-H", flags.header).map(([key, value]) => ({ key, value }));
  return {
    topic,
    format: choice("--input", flags.input, ["lines", "ndjson", "length-prefixed"]),
    keySeparator: flags.keySeparator === undefined ? undefined : unescapeBytes(flags.keySeparator),
    headers: headers.length === 0 ? undefined : headers,
    partition: flags.partition === undefined ? undefined : parseCount("-p", flags.partition),
    emptyAsNull: flags.emptyAsNull === true,
    maxRecordBytes: parseBytes("--max-record-bytes", flags.maxRecordBytes),
  };
}

interface ProduceWork {
  readonly ottla: Ottla;
  readonly shape: RecordShape;
  readonly options: ProducerOptions;
  readonly inputs: readonly InputFile[];
  readonly flags: ProduceFlags;
  readonly environment: CliEnvironment;
}

/** What has been acknowledged and what has failed. */
class Tally {
  records = 0;
  bytes = 0;
  failedRecords = 0;
  firstError: OttlaError | undefined = undefined;
  readBytes = 0;
  interrupted = false;

  /** A record that came into no batch: its topic or partition is not there. */
  failed(thrown: unknown): void {
    this.firstError ??= toOttlaError(thrown);
  }

  readonly count = ({ recordCount, sizeBytes, error }: BatchOutcome): void => {
    if (error === undefined) {
      this.records += recordCount;
      this.bytes += sizeBytes;
    } else {
      this.failedRecords += recordCount;
      this.firstError ??= error;
    }
  };
}

async function produceAll(work: ProduceWork): Promise<number> {
  const { ottla, options, inputs, flags, environment } = work;
  const clock = await environment.clock();
  const tally = new Tally();
  const producer = ottla.producer({ ...options, onBatch: tally.count });
  const totalBytes = inputs.reduce<number | undefined>(
    (sum, { sizeBytes }) => (sum === undefined || sizeBytes === undefined ? undefined : sum + sizeBytes),
    0,
  );
  const progress = new Progress(environment, clock, flags.quiet === true, () => ({
    records: tally.records,
    bytes: tally.bytes,
    fraction: totalBytes === undefined || totalBytes === 0 ? undefined : tally.readBytes / totalBytes,
  }));
  const interruption = new Interruption({ environment, clock, onGiveUp: () => void producer.abandon() });
  try {
    await sendAll(producer, work, tally, interruption);
  } finally {
    // What was read is sent and reported, whatever ended the reading: the producer fails what is late by
    // itself. Failures are in the tally.
    await producer.flush().catch((thrown: unknown) => tally.failed(thrown));
    interruption.dispose();
    progress.stop();
    tally.interrupted = interruption.requested;
    if (flags.quiet !== true) environment.stderr.write(summary(tally, progress.elapsedMs));
  }
  return outcome(tally);
}

function outcome(tally: Tally): number {
  if (tally.firstError !== undefined && !tally.interrupted) {
    const { message, code } = tally.firstError;
    const failed = tally.failedRecords === 0 ? "not sent" : `${plural(tally.failedRecords, "record")} failed`;
    throw new CliError(ExitCode.failed, `${failed}: ${message} (${code})`);
  }
  return tally.interrupted ? ExitCode.interrupted : ExitCode.ok;
}

async function sendAll(
  producer: Producer,
  { inputs, shape }: ProduceWork,
  tally: Tally,
  interruption: Interruption,
): Promise<void> {
  for (const input of inputs) {
    const source = new RecordSource(shape);
    const chunks = input.chunks()[Symbol.asyncIterator]();
    for (;;) {
      const next = await interruption.orUntil(chunks.next());
      if (next === undefined) return;
      if (next.done === true) break;
      tally.readBytes += next.value.length;
      for (const record of source.records(next.value)) {
        // No await where there is room: a promise for each line would cost more than the line.
        if (!producer.post(record)) await interruption.orUntil(producer.ready());
        if (interruption.requested || tally.firstError !== undefined) return;
      }
    }
    const last = source.end();
    if (last !== undefined) {
      await interruption.orUntil(producer.ready());
      if (interruption.requested) return;
      producer.post(last);
    }
  }
}

function summary(tally: Tally, elapsedMs: number): string {
  const seconds = Math.max(0.001, elapsedMs / 1000);
  const rate = `${plural(tally.records / seconds, "record")}/s, ${formatBytes(tally.bytes / seconds)}/s`;
  const interrupted = tally.interrupted ? "interrupted: " : "";
  const failed = tally.failedRecords === 0 ? "" : `; ${formatCount(tally.failedRecords)} failed`;
  return (
    `${interrupted}${plural(tally.records, "record")} acknowledged in ${formatSeconds(elapsedMs)} ` +
    `(${rate})${failed}\n`
  );
}
