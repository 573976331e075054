import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode } from "../exit-codes.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { Progress } from "../output/progress.ts";
import { parseCount } from "../units.ts";
import { benchReport, printReport } from "./bench-report.ts";

export interface BenchConsumeFlags extends OutputFlags {
  readonly topic: string;
  readonly records?: string;
}

/** `ottla bench consume`: reads a topic from its start to its end, or so many records. */
export async function benchConsume(flags: BenchConsumeFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  const limit = flags.records === undefined ? Infinity : parseCount("-n", flags.records, 1);
  return withOttla(flags, environment, async (ottla) => {
    const clock = await environment.clock();
    const consumer = ottla.consumer();
    await consumer.assign([{ topic: flags.topic, offset: "earliest" }]);
    const tally = { records: 0, bytes: 0 };
    const progress = new Progress(environment, clock, false, () => tally);
    let interrupted = false;
    const removeHandler = environment.onInterrupt(() => {
      interrupted = true;
      void consumer.close();
    });
    const startMs = clock.monotonic();
    for await (const batch of consumer.batches({ stopAtEnd: true })) {
      tally.bytes += batch.sizeBytes;
      for (const _record of batch) tally.records++;
      if (tally.records >= limit) break;
    }
    const elapsedMs = clock.monotonic() - startMs;
    removeHandler();
    progress.stop();
    await consumer.close();
    const report = benchReport({ workload: "consume", topic: flags.topic, ...tally, elapsedMs });
    await printReport(environment, format, report);
    return interrupted ? ExitCode.interrupted : ExitCode.ok;
  });
}
