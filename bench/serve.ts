/**
 * What one node takes: the time of its second start, and its resident memory when idle, while one SDK
 * producer writes over gRPC, and while a consumer reads all back. Records have 1 KiB.
 * Run: `sh scripts/node.sh bench/serve.ts [RECORDS]`. With 10,000,000 it shows that memory stays flat over
 * 10 GB; old segments are deleted meanwhile, so that 3 GB of disk do.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { systemClock } from "@ottla/runtime";

const TARGETS = { startMs: 1_000, idleMegabytes: 130, readingMegabytes: 300 };
const GRPC_PORT = 15_951;
const HTTP_PORT = 15_952;
const IDLE_AFTER_MS = 3_000;
const SAMPLE_MS = 20;
const RETAINED_BYTES = "1500000000";

const run = promisify(execFile);
const ottla = fileURLToPath(new URL("../bin/ottla", import.meta.url));

interface Report {
  readonly recordsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly maxResidentBytes: number;
}

interface RunningServer {
  readonly child: ChildProcess;
  readonly startMs: number;
}

async function start(dataDirectory: string): Promise<RunningServer> {
  const startedMs = systemClock.monotonic();
  const ports = ["--grpc-port", String(GRPC_PORT), "--http-port", String(HTTP_PORT), "--kafka-port", "0"];
  const upkeep = ["--storage-retention-check-interval-ms", "1000"];
  const child = spawn(ottla, ["serve", "--data-dir", dataDirectory, ...ports, ...upkeep], {
    stdio: "ignore",
  });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${HTTP_PORT}/readyz`).catch(() => undefined);
    if (answer?.ok === true) return { child, startMs: Math.round(systemClock.monotonic() - startedMs) };
    if (child.exitCode !== null) throw new Error(`ottla serve ended with ${child.exitCode}`);
    await systemClock.sleep(5);
  }
}

async function stop({ child }: RunningServer): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

async function residentMegabytes({ child }: RunningServer): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  return Math.round((Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1_024) / 1e6);
}

async function bench(argv: readonly string[]): Promise<Report> {
  const address = ["--address", `127.0.0.1:${GRPC_PORT}`, "--output", "json"];
  const { stdout } = await run(ottla, ["bench", ...argv, ...address]);
  return JSON.parse(stdout) as Report;
}

/** The most that the server had resident while the work ran. */
async function watched(server: RunningServer, name: string, work: Promise<Report>): Promise<number> {
  const progress = { ended: false };
  const end = () => {
    progress.ended = true;
  };
  work.then(end, end);
  const samples: number[] = [];
  while (!progress.ended) {
    samples.push(await residentMegabytes(server));
    await systemClock.sleep(SAMPLE_MS);
  }
  const report = await work;
  const most = Math.max(...samples);
  const quarters = [0, 1, 2, 3].map((quarter) => {
    const [from, to] = [quarter, quarter + 1].map((bound) => Math.floor((samples.length * bound) / 4));
    return Math.max(...samples.slice(from, to));
  });
  process.stdout.write(
    `${name}: ${report.recordsPerSecond} records/s, ${report.megabytesPerSecond} MB/s; ` +
      `server at most ${most} MB (in each quarter of the run: ${quarters.join(", ")}), ` +
      `client at most ${Math.round(report.maxResidentBytes / 1e6)} MB\n`,
  );
  return most;
}

const records = process.argv[2] ?? "1000000";
const dataDirectory = await mkdtemp(join(tmpdir(), "ottla-bench-serve-"));
// The first start compiles; its cache is what the second one is about.
await stop(await start(dataDirectory));
const server = await start(dataDirectory);
try {
  await systemClock.sleep(IDLE_AFTER_MS);
  const idle = await residentMegabytes(server);
  process.stdout.write(`second start: ready in ${server.startMs} ms, idle at ${idle} MB\n`);
  const topic = ["topic", "create", "bench", "-c", `retention.bytes=${RETAINED_BYTES}`];
  await run(ottla, [...topic, "--address", `127.0.0.1:${GRPC_PORT}`]);
  await watched(server, "produce", bench(["produce", "-n", records, "-t", "bench"]));
  const reading = await watched(server, "read back", bench(["consume", "-t", "bench"]));
  const { startMs, idleMegabytes, readingMegabytes } = TARGETS;
  const met = server.startMs < startMs && idle < idleMegabytes && reading < readingMegabytes;
  process.stdout.write(`targets: ${startMs} ms, ${idleMegabytes} MB idle, ${readingMegabytes} MB reading\n`);
  process.exitCode = met ? 0 : 1;
} finally {
  await stop(server);
  await rm(dataDirectory, { recursive: true, force: true, maxRetries: 5 });
}
