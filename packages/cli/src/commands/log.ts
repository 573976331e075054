import { resolve } from "node:path";
import type { LogVerification } from "@ottla/log";
import type { Disk } from "@ottla/runtime";
import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode } from "../exit-codes.ts";
import { outputFormat } from "../options.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import { print, renderTable } from "../output/print.ts";
import { formatBytes, parseCount, plural } from "../units.ts";
import { dumpLine } from "./log-dump-text.ts";

type LogProblem = LogVerification["problems"][number];

export interface VerifyFlags {
  readonly output?: string;
  readonly allowGaps?: boolean;
  readonly maxProblems: string;
}

/** `ottla log verify DIR`: checks a partition directory, or every one below a data directory. */
export async function verifyLogs(
  directory: string,
  flags: VerifyFlags,
  environment: CliEnvironment,
): Promise<number> {
  const format = outputFormat(flags, environment);
  const maxProblems = parseCount("--max-problems", flags.maxProblems, 1);
  const disk = await environment.disk();
  const { verifyLog } = await import("@ottla/log");
  const verifications: LogVerification[] = [];
  for (const each of await partitionDirectories(disk, resolve(environment.workingDirectory, directory))) {
    verifications.push(await verifyLog(each, disk, { maxProblems, allowGaps: flags.allowGaps === true }));
  }
  await print(environment, format, verifications, () => verificationText(verifications));
  const isDamaged = verifications.some(({ errorCount }) => errorCount > 0);
  return isDamaged ? ExitCode.failed : ExitCode.ok;
}

export interface DumpFlags {
  readonly records?: boolean;
  readonly indexes?: boolean;
  readonly from?: string;
  readonly maxBatches?: string;
  readonly json?: boolean;
}

/** `ottla log dump DIR`: tells what the files of a partition directory hold. */
export async function dumpLogs(
  directory: string,
  flags: DumpFlags,
  environment: CliEnvironment,
): Promise<number> {
  const disk = await environment.disk();
  const { dumpLog } = await import("@ottla/log");
  const out = new ByteWriter(environment.stdout);
  const options = {
    records: flags.records === true,
    indexes: flags.indexes === true,
    ...(flags.from === undefined ? {} : { fromOffset: parseCount("--from", flags.from) }),
    ...(flags.maxBatches === undefined ? {} : { maxBatches: parseCount("--max-batches", flags.maxBatches) }),
  };
  let damaged = false;
  for (const each of await partitionDirectories(disk, resolve(environment.workingDirectory, directory))) {
    if (flags.json !== true) out.text(`${each}\n`);
    for await (const item of dumpLog(each, disk, options)) {
      damaged ||= item.kind === "damage";
      out.text(dumpLine(item, flags.json === true ? each : undefined));
      if (out.closed) return ExitCode.ok;
      if (out.wantsFlush) await out.flush();
    }
  }
  await out.flush();
  return damaged ? ExitCode.failed : ExitCode.ok;
}

/** The directory itself when it holds segments, else every directory below it (two levels deep) that does. */
async function partitionDirectories(disk: Disk, directory: string): Promise<string[]> {
  if ((await disk.stat(directory))?.kind !== "directory") {
    throw new CliError(ExitCode.failed, `${directory} is not a directory`);
  }
  const found = await directoriesWithSegments(disk, directory, 2);
  if (found.length === 0) {
    throw new CliError(
      ExitCode.failed,
      `${directory} holds no segments (*.log), nor do the directories below it`,
    );
  }
  return found;
}

async function directoriesWithSegments(disk: Disk, directory: string, depth: number): Promise<string[]> {
  const entries = await disk.list(directory);
  if (entries.some(({ kind, name }) => kind === "file" && /^\d{20}\.log$/.test(name))) return [directory];
  if (depth === 0) return [];
  const found: string[] = [];
  for (const { kind, name } of entries) {
    if (kind === "directory")
      found.push(...(await directoriesWithSegments(disk, `${directory}/${name}`, depth - 1)));
  }
  return found;
}

function verificationText(verifications: readonly LogVerification[]): string {
  const table = renderTable({
    columns: ["directory", "segments", "batches", "records", "size", "start", "end", "errors", "warnings"],
    rows: verifications.map((each) => [
      each.directory,
      each.segmentCount,
      each.batchCount,
      each.recordCount,
      formatBytes(each.sizeBytes),
      each.logStartOffset,
      each.logEndOffset,
      each.errorCount,
      each.warningCount,
    ]),
  });
  const problems = verifications.flatMap(({ problems }) => problems.map(problemLine));
  const errors = verifications.reduce((sum, { errorCount }) => sum + errorCount, 0);
  const verdict = errors === 0 ? "no damage found\n" : `${plural(errors, "error")}\n`;
  return `${table}${problems.join("")}${verdict}`;
}

/** The file is named by its whole path. */
function problemLine({ severity, file, position, offset, problem }: LogProblem): string {
  const where = position === undefined ? "" : ` at ${position}`;
  const which = offset === undefined ? "" : ` (offset ${offset})`;
  return `${severity}: ${file}${where}${which}: ${problem}\n`;
}
