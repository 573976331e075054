import type { BatchOutcome, Ottla } from "@ottla/client";
import { producerOptions } from "../commands/produce.ts";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode } from "../exit-codes.ts";
import { Interruption } from "../interruption.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { Progress } from "../output/progress.ts";
import { parseBytes, parseCount, plural } from "../units.ts";
import { benchReport, latencyFigures, printReport } from "./bench-report.ts";
import { ensureTopic, makeValues } from "./bench-topic.ts";
import { LatencyHistogram } from "./latency-histogram.ts";

export interface BenchProduceFlags extends OutputFlags {
  readonly topic: string;
  readonly partitions: string;
  readonly records: string;
  readonly size: string;
  readonly rate?: string;
  readonly acks: string;
  readonly compression: string;
  readonly lingerMs?: string;
  readonly batchBytes?: string;
}

interface Tally {
  records: number;
  failed: number;
  firstFailure: string;
  interrupted: boolean;
}

/** `ottla bench produce`: one producer, as fast as it goes or at a rate. */
export async function benchProduce(flags: BenchProduceFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  const records = parseCount("-n", flags.records, 1);
  const sizeBytes = parseBytes("--size", flags.size);
  const partitions = parseCount("--partitions", flags.partitions, 1);
  const rate = flags.rate === undefined ? Infinity : parseCount("--rate", flags.rate, 1);
  return withOttla(flags, environment, async (ottla) => {
    await ensureTopic(ottla, flags.topic, partitions);
    const histogram = new LatencyHistogram();
    const tally: Tally = { records: 0, failed: 0, firstFailure: "", interrupted: false };
    const elapsedMs = await load({ ottla, environment, flags, records, sizeBytes, rate, histogram, tally });
    const report = benchReport({
      workload: `produce, ${sizeBytes} B each, acks ${flags.acks}, ${flags.compression} compression`,
      topic: flags.topic,
      records: tally.records,
      bytes: tally.records * sizeBytes,
      elapsedMs,
      failedRecords: tally.failed,
      latency: latencyFigures("from first record of a batch to its acknowledgement", histogram),
    });
    await printReport(environment, format, report);
    if (tally.interrupted) return ExitCode.interrupted;
    if (tally.failed > 0) {
      throw new CliError(
        ExitCode.failed,
        `${plural(tally.failed, "record")} not acknowledged: ${tally.firstFailure}`,
      );
    }
    return ExitCode.ok;
  });
}

interface Load {
  readonly ottla: Ottla;
  readonly environment: CliEnvironment;
  readonly flags: BenchProduceFlags;
  readonly records: number;
  readonly sizeBytes: number;
  readonly rate: number;
  readonly histogram: LatencyHistogram;
  readonly tally: Tally;
}

async function load({
  ottla,
  environment,
  flags,
  records,
  sizeBytes,
  rate,
  histogram,
  tally,
}: Load): Promise<number> {
  const clock = await environment.clock();
  const values = makeValues(sizeBytes, 64);
  const onBatch = ({ recordCount, latencyMs, error }: BatchOutcome) => {
    if (error !== undefined) {
      tally.failed += recordCount;
      tally.firstFailure ||= error.message;
      return;
    }
    tally.records += recordCount;
    histogram.add(latencyMs, recordCount);
  };
  const producer = ottla.producer({ ...producerOptions(flags), onBatch });
  // The topic's partitions, the connection and the producer id are not what is measured.
  await producer.send({ topic: flags.topic, value: values[0] ?? "" });
  const before = tally.records;
  const progress = new Progress(environment, clock, false, () => ({
    records: tally.records,
    bytes: tally.records * sizeBytes,
    fraction: tally.records / records,
  }));
  const interruption = new Interruption({ environment, clock, onGiveUp: () => void producer.abandon() });
  const startMs = clock.monotonic();
  for (let index = 0; index < records && !interruption.requested && tally.failed === 0; index++) {
    const value = values[index % values.length] ?? "";
    if (!producer.post({ topic: flags.topic, value })) await interruption.orUntil(producer.ready());
    if (rate !== Infinity && index % 16 === 0) await keepRate(clock, startMs, index, rate);
  }
  await producer.flush().catch(() => undefined);
  const elapsedMs = clock.monotonic() - startMs;
  interruption.dispose();
  tally.interrupted = interruption.requested;
  progress.stop();
  tally.records -= before;
  return elapsedMs;
}

async function keepRate(
  clock: Awaited<ReturnType<CliEnvironment["clock"]>>,
  startMs: number,
  sent: number,
  rate: number,
): Promise<void> {
  const aheadMs = (sent / rate) * 1000 - (clock.monotonic() - startMs);
  if (aheadMs > 1) await clock.sleep(aheadMs);
}
