import type { Consumer, Ottla, Producer } from "@ottla/client";
import type { Clock } from "@ottla/runtime";
import { producerOptions } from "../commands/produce.ts";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode } from "../exit-codes.ts";
import { Interruption } from "../interruption.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { Progress } from "../output/progress.ts";
import { parseBytes, parseCount } from "../units.ts";
import { benchReport, latencyFigures, printReport } from "./bench-report.ts";
import { ensureTopic, makeValues } from "./bench-topic.ts";
import { LatencyHistogram } from "./latency-histogram.ts";

export interface BenchLatencyFlags extends OutputFlags {
  readonly topic: string;
  readonly records: string;
  readonly size: string;
  readonly acks: string;
}

/**
 * `ottla bench latency`: one record at a time, without lingering, from `send` to its
 * arrival at a consumer (its acknowledgement lies in between).
 */
export async function benchLatency(flags: BenchLatencyFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  const records = parseCount("-n", flags.records, 1);
  const sizeBytes = parseBytes("--size", flags.size);
  return withOttla(flags, environment, async (ottla) => {
    await ensureTopic(ottla, flags.topic, 1);
    const clock = await environment.clock();
    const histogram = new LatencyHistogram();
    const producer = ottla.producer({ ...producerOptions({ ...flags, compression: "none" }), lingerMs: 0 });
    const consumer = await consumerAtEnd(ottla, flags.topic);
    const progress = new Progress(environment, clock, false, () => ({
      records: histogram.count,
      bytes: histogram.count * sizeBytes,
      fraction: histogram.count / records,
    }));
    const stop = () => Promise.all([producer.abandon(), consumer.close()]);
    const interruption = new Interruption({ environment, clock, onGiveUp: () => void stop() });
    const [value = Buffer.alloc(0)] = makeValues(sizeBytes, 1);
    const startMs = clock.monotonic();
    await bounce(
      { clock, producer, consumer, histogram, records, topic: flags.topic, value },
      () => interruption.requested,
    ).catch((thrown: unknown) => {
      // What an interruption cuts off fails: that is no news.
      if (!interruption.requested) throw thrown;
    });
    const elapsedMs = clock.monotonic() - startMs;
    interruption.dispose();
    progress.stop();
    await Promise.all([producer.close(), consumer.close()]);
    const report = benchReport({
      workload: `latency, ${sizeBytes} B each, acks ${flags.acks}, one at a time`,
      topic: flags.topic,
      records: histogram.count,
      bytes: histogram.count * sizeBytes,
      elapsedMs,
      latency: latencyFigures("from send to a consumer", histogram),
    });
    await printReport(environment, format, report);
    return interruption.requested ? ExitCode.interrupted : ExitCode.ok;
  });
}

interface Bounce {
  readonly clock: Clock;
  readonly producer: Producer;
  readonly consumer: Consumer;
  readonly histogram: LatencyHistogram;
  readonly records: number;
  readonly topic: string;
  readonly value: Uint8Array;
}

async function bounce(work: Bounce, isInterrupted: () => boolean): Promise<void> {
  const { clock, producer, consumer, histogram, records, topic, value } = work;
  const arrivals = consumer.records();
  // The first finds connections and producer id: it is not counted.
  for (let index = 0; index <= records && !isInterrupted(); index++) {
    const sentMs = clock.monotonic();
    const sent = producer.send({ topic, partition: 0, value });
    const [delivered] = await Promise.all([sent, untilOffset(arrivals, sent)]);
    if (index > 0 && delivered.offset >= 0n) histogram.add(clock.monotonic() - sentMs);
  }
}

/** Others may write to the topic too: waits for the record itself. */
async function untilOffset(
  arrivals: AsyncGenerator<{ offset: bigint }, void, undefined>,
  sent: Promise<{ offset: bigint }>,
): Promise<void> {
  for (;;) {
    const arrival = await arrivals.next();
    if (arrival.done === true) return;
    const { offset } = await sent;
    if (offset < 0n || arrival.value.offset >= offset) return;
  }
}

async function consumerAtEnd(ottla: Ottla, topic: string): Promise<Consumer> {
  const [end] = await ottla.admin().listOffsets([{ topic, partition: 0, at: "latest" }]);
  const consumer = ottla.consumer();
  await consumer.assign([{ topic, partition: 0, offset: end?.offset ?? 0n }]);
  return consumer;
}
