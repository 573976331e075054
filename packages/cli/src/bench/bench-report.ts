import type { CliEnvironment } from "../environment.ts";
import type { OutputFormat } from "../options.ts";
import { print } from "../output/print.ts";
import { formatBytes, formatSeconds, plural } from "../units.ts";
import type { LatencyHistogram } from "./latency-histogram.ts";

export interface BenchReport {
  readonly workload: string;
  readonly topic: string;
  readonly records: number;
  readonly bytes: number;
  readonly elapsedMs: number;
  readonly recordsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly failedRecords: number;
  readonly latency: LatencyFigures | undefined;
  readonly maxResidentBytes: number;
}

export interface LatencyFigures {
  readonly of: string;
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export function latencyFigures(of: string, histogram: LatencyHistogram): LatencyFigures {
  const round = (value: number) => Math.round(value * 1000) / 1000;
  return {
    of,
    count: histogram.count,
    meanMs: round(histogram.meanMs),
    p50Ms: round(histogram.quantile(0.5)),
    p99Ms: round(histogram.quantile(0.99)),
    p999Ms: round(histogram.quantile(0.999)),
    maxMs: round(histogram.maxMs),
  };
}

export function benchReport(
  figures: Pick<BenchReport, "workload" | "topic" | "records" | "bytes" | "elapsedMs"> &
    Partial<Pick<BenchReport, "failedRecords" | "latency">>,
): BenchReport {
  const seconds = Math.max(0.001, figures.elapsedMs / 1000);
  return {
    failedRecords: 0,
    latency: undefined,
    ...figures,
    elapsedMs: Math.round(figures.elapsedMs),
    recordsPerSecond: Math.round(figures.records / seconds),
    megabytesPerSecond: Math.round(figures.bytes / seconds / 1e4) / 100,
    maxResidentBytes: process.resourceUsage().maxRSS * 1024,
  };
}

export function printReport(
  environment: CliEnvironment,
  format: OutputFormat,
  report: BenchReport,
): Promise<void> {
  return print(environment, format, report, () => reportText(report));
}

function reportText(report: BenchReport): string {
  const { workload, records, bytes, elapsedMs, latency, failedRecords, maxResidentBytes } = report;
  const lines = [
    `${workload}: ${plural(records, "record")}, ${formatBytes(bytes)} in ${formatSeconds(elapsedMs)}`,
    `  ${plural(report.recordsPerSecond, "record")}/s, ${report.megabytesPerSecond} MB/s`,
  ];
  if (latency !== undefined) {
    lines.push(
      `  ${latency.of}: p50 ${latency.p50Ms} ms, p99 ${latency.p99Ms} ms, p99.9 ${latency.p999Ms} ms, ` +
        `max ${latency.maxMs} ms`,
    );
  }
  if (failedRecords > 0) lines.push(`  ${plural(failedRecords, "record")} failed`);
  lines.push(`  at most ${formatBytes(maxResidentBytes)} resident`);
  return `${lines.join("\n")}\n`;
}
