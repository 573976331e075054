/**
 * What one SDK producer reaches over gRPC with the safe default (acks=all, idempotent,
 * group-committed sync), client and server on the same machine, then what one consumer reads
 * back. Run: `sh scripts/node.sh bench/produce.ts [RECORDS]`. The target is 150,000 records/s
 * of 1 KiB on two idle cores; the best of several rounds counts, because machines are shared.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { systemClock } from "@ottla/runtime";

const TARGET_RECORDS_PER_SECOND = 150_000;
const ROUNDS = 3;
const GRPC_PORT = 50_951;
const HTTP_PORT = 18_951;

const run = promisify(execFile);
const ottla = fileURLToPath(new URL("../bin/ottla", import.meta.url));

interface Report {
  readonly recordsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly maxResidentBytes: number;
  readonly latency?: { readonly p50Ms: number; readonly p99Ms: number; readonly p999Ms: number };
}

async function startServer(dataDirectory: string): Promise<ChildProcess> {
  const ports = ["--grpc-port", String(GRPC_PORT), "--http-port", String(HTTP_PORT), "--kafka-port", "0"];
  const server = spawn(ottla, ["serve", "--data-dir", dataDirectory, ...ports], { stdio: "ignore" });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${HTTP_PORT}/readyz`).catch(() => undefined);
    if (answer?.ok === true) return server;
    if (server.exitCode !== null) throw new Error(`ottla serve ended with ${server.exitCode}`);
    await systemClock.sleep(20);
  }
}

async function measure(argv: readonly string[]): Promise<Report> {
  const address = ["--address", `127.0.0.1:${GRPC_PORT}`, "--output", "json"];
  const { stdout } = await run(ottla, ["bench", ...argv, ...address]);
  return JSON.parse(stdout) as Report;
}

/** The most memory that a process ever had resident, where the system tells. */
async function peakMegabytes(processId: number): Promise<string> {
  const status = await readFile(`/proc/${processId}/status`, "utf8").catch(() => "");
  const kibibytes = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]);
  return Number.isNaN(kibibytes) ? "unknown" : `${Math.round(kibibytes / 1000)} MB`;
}

function line(
  name: string,
  { recordsPerSecond, megabytesPerSecond, latency, maxResidentBytes }: Report,
): string {
  const times = latency === undefined ? "" : `, p50 ${latency.p50Ms} ms, p99 ${latency.p99Ms} ms`;
  const memory = `client at most ${Math.round(maxResidentBytes / 1e6)} MB`;
  return `${name}: ${recordsPerSecond} records/s, ${megabytesPerSecond} MB/s${times}, ${memory}\n`;
}

const records = process.argv[2] ?? "1000000";
const dataDirectory = await mkdtemp(join(tmpdir(), "ottla-bench-"));
const server = await startServer(dataDirectory);
try {
  let best = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const report = await measure(["produce", "-n", records, "-t", `bench-${round}`]);
    best = Math.max(best, report.recordsPerSecond);
    process.stdout.write(line(`produce, round ${round}`, report));
  }
  for (let round = 1; round <= ROUNDS; round++) {
    process.stdout.write(line(`consume, round ${round}`, await measure(["consume", "-t", `bench-${round}`])));
  }
  process.stdout.write(line("latency", await measure(["latency", "-n", "2000"])));
  process.stdout.write(`server at most ${await peakMegabytes(server.pid ?? 0)} resident\n`);
  const share = Math.round((best / TARGET_RECORDS_PER_SECOND) * 100);
  process.stdout.write(
    `best produce round: ${share} % of the target of ${TARGET_RECORDS_PER_SECOND} records/s\n`,
  );
  process.exitCode = best >= TARGET_RECORDS_PER_SECOND ? 0 : 1;
} finally {
  server.kill("SIGTERM");
  await rm(dataDirectory, { recursive: true, force: true, maxRetries: 5 });
}
