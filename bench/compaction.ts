/**
 * Whether compaction keeps up with a steady stream of updates, and what producers notice of it. One node
 * takes so many megabytes a second of records with 100,000 keys, by turns in a topic that is compacted and
 * in one that is not.
 * Run: `sh scripts/node.sh bench/compaction.ts [MB_PER_SECOND [SECONDS_PER_TURN [CODEC]]]`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ottla, type Producer } from "@ottla/client";
import type { Compression } from "@ottla/records";
import { systemClock, systemRandom } from "@ottla/runtime";
import { percentile } from "./steady-load.ts";

const KEYS = 100_000;
const PARTITIONS = 4;
const VALUE_BYTES = 280;
const KEY_BYTES = 16;
const SEGMENT_BYTES = 8 * 1024 * 1024;
const TICK_MS = 5;
const TURNS = 3;
const GRPC_PORT = 15_961;
const HTTP_PORT = 15_962;
const TARGET_RATIO = 2;
const SHOWN_PAUSES = 3;
/** Half a second between two looks, and half a second of work for each 120 MB, with a third of the time. */
const ROUND_SECONDS = 2;

const megabytesPerSecond = Number(process.argv[2] ?? "30");
const turnMs = Number(process.argv[3] ?? "20") * 1_000;
const codec = (process.argv[4] ?? "none") as Compression;
const watchFile = join(tmpdir(), `ottla-bench-compaction-${process.pid}.jsonl`);
const ottla = fileURLToPath(new URL("../bin/ottla", import.meta.url));
const value = systemRandom.bytes(VALUE_BYTES);

interface Turn {
  readonly topic: string;
  readonly latenciesMs: readonly number[];
  readonly megabytesPerSecond: number;
}

async function start(dataDirectory: string): Promise<ChildProcess> {
  const ports = ["--grpc-port", String(GRPC_PORT), "--http-port", String(HTTP_PORT), "--kafka-port", "0"];
  const upkeep = [
    "--storage-compaction-check-interval-ms",
    "500",
    "--storage-retention-check-interval-ms",
    "1000",
  ];
  const watch = fileURLToPath(new URL("event-loop-watch.ts", import.meta.url));
  const child = spawn(ottla, ["serve", "--data-dir", dataDirectory, ...ports, ...upkeep], {
    stdio: "ignore",
    env: { ...process.env, NODE_OPTIONS: `--import=${watch}`, EVENT_LOOP_WATCH: watchFile },
  });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${HTTP_PORT}/readyz`).catch(() => undefined);
    if (answer?.ok === true) return child;
    if (child.exitCode !== null) throw new Error(`ottla serve ended with ${child.exitCode}`);
    await systemClock.sleep(20);
  }
}

/** Posts its share of records in each tick; one of them is timed. */
async function write(producer: Producer, topic: string): Promise<Turn> {
  const latenciesMs: number[] = [];
  const recordBytes = KEY_BYTES + VALUE_BYTES;
  const startedMs = systemClock.monotonic();
  let sent = 0;
  for (let nowMs = startedMs; nowMs - startedMs < turnMs; nowMs = systemClock.monotonic()) {
    const due = ((nowMs - startedMs) / 1_000) * megabytesPerSecond * 1e6;
    for (; sent * recordBytes < due; sent += 1) {
      const number = systemRandom.integer(KEYS);
      const key = Buffer.from(String(number).padStart(KEY_BYTES, "0"));
      const record = { topic, partition: number % PARTITIONS, key, value };
      if (!producer.post(record)) await producer.ready();
    }
    const sentMs = systemClock.monotonic();
    const timed = { topic, partition: sent % PARTITIONS, key: Buffer.from("timed"), value };
    void producer.send(timed).then(() => latenciesMs.push(systemClock.monotonic() - sentMs));
    await systemClock.sleep(TICK_MS);
  }
  await producer.flush();
  const seconds = (systemClock.monotonic() - startedMs) / 1_000;
  const megabytes = (sent * recordBytes) / 1e6;
  return {
    topic,
    latenciesMs: latenciesMs.toSorted((a, b) => a - b),
    megabytesPerSecond: megabytes / seconds,
  };
}

async function logBytes(dataDirectory: string, topicId: string): Promise<number> {
  let sum = 0;
  for (const partition of await readdir(join(dataDirectory, "topics"))) {
    if (!partition.startsWith(topicId)) continue;
    const directory = join(dataDirectory, "topics", partition);
    for (const name of await readdir(directory)) {
      if (!name.endsWith(".log")) continue;
      sum += (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0;
    }
  }
  return sum;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${HTTP_PORT}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
}

interface Pause {
  readonly pauseMs: number;
  readonly ownMs: number;
  readonly coreWaitMs: number;
  readonly collectorMs: number;
  readonly workMs: number;
}

/** What the server's event loop did since this was asked last: see event-loop-watch.ts. */
async function takePauses(): Promise<string> {
  const lines = (await readFile(watchFile, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  await rm(watchFile, { force: true });
  const pauses = lines.map((line) => JSON.parse(line) as Pause).toSorted((a, b) => b.pauseMs - a.pauseMs);
  const workMs = Math.max(0, ...pauses.map((pause) => pause.workMs));
  const longest = pauses.slice(0, SHOWN_PAUSES).map(({ pauseMs, ownMs, coreWaitMs, collectorMs }) => {
    const parts = [ownMs, coreWaitMs, collectorMs].map((ms) => ms.toFixed(0)).join(" + ");
    return `${pauseMs.toFixed(0)} ms (${parts})`;
  });
  return `longest work ${workMs.toFixed(0)} ms, longest pauses (own + in line for a core; collector) ${longest.join(", ")}`;
}

async function processorMs(): Promise<number> {
  return (await metric("process_cpu_seconds_total")) * 1_000;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const dataDirectory = await mkdtemp(join(tmpdir(), "ottla-bench-compaction-"));
const server = await start(dataDirectory);
const client = new Ottla({ address: `127.0.0.1:${GRPC_PORT}` });
try {
  const configs = { "segment.bytes": String(SEGMENT_BYTES), "file.delete.delay.ms": "1000" };
  const admin = client.admin();
  const compacted = { ...configs, "cleanup.policy": "compact" };
  await admin.createTopic({ name: "compacted", partitions: PARTITIONS, configs: compacted });
  const kept = { ...configs, "retention.bytes": String(4 * SEGMENT_BYTES) };
  await admin.createTopic({ name: "kept", partitions: PARTITIONS, configs: kept });
  const [described] = await admin.describeTopics(["compacted"]);
  if (described === undefined) throw new Error("the topic is gone");
  const producer = client.producer({ compression: codec });
  const sizes: number[] = [];
  const p99s: Record<string, number[]> = { compacted: [], kept: [] };
  await write(producer, "compacted");
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const topic of ["kept", "compacted"]) {
      await takePauses();
      const beforeMs = await processorMs();
      const { latenciesMs, megabytesPerSecond: rate } = await write(producer, topic);
      const pauses = await takePauses();
      const cores = ((await processorMs()) - beforeMs) / turnMs;
      const [p50, p99] = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)];
      p99s[topic]?.push(p99);
      const bytes = topic === "compacted" ? await logBytes(dataDirectory, described.topicId) : 0;
      if (topic === "compacted") sizes.push(bytes / 1e6);
      const size = topic === "compacted" ? `, ${(bytes / 1e6).toFixed(0)} MB of log left` : "";
      say(
        `${topic}: ${rate.toFixed(1)} MB/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ` +
          `${cores.toFixed(2)} cores${size}; event loop: ${pauses}`,
      );
    }
  }
  const median = (values: readonly number[] = []): number =>
    percentile(
      values.toSorted((a, b) => a - b),
      0.5,
    );
  const ratio = median(p99s["compacted"]) / median(p99s["kept"]);
  const liveMegabytes = (KEYS * (KEY_BYTES + VALUE_BYTES)) / 1e6;
  // Twice the live records, as the dirty ratio of 0.5 allows; of each partition the segment that is being
  // written; and what comes until compaction looks again and has been through all partitions.
  const comesMeanwhile = megabytesPerSecond * ROUND_SECONDS;
  const allowed = 2 * liveMegabytes + (PARTITIONS * SEGMENT_BYTES) / 1e6 + comesMeanwhile;
  const removed = await metric("ottla_partition_storage_compaction_removed_records_total");
  const compactions = await metric("ottla_partition_storage_compaction_duration_seconds_count");
  say(`p99 with compaction to without: ${ratio.toFixed(2)} (target: below ${TARGET_RATIO})`);
  say(
    `log at the most ${Math.max(...sizes).toFixed(0)} MB ` +
      `after ${((TURNS + 1) * turnMs * megabytesPerSecond) / 1e6} GB ` +
      `(target: below ${allowed.toFixed(0)} MB); ${removed} records removed in ${compactions} compactions`,
  );
  process.exitCode = ratio < TARGET_RATIO && Math.max(...sizes) < allowed ? 0 : 1;
  await producer.close();
} finally {
  await client.close();
  const exited = once(server, "exit");
  server.kill("SIGTERM");
  await exited;
  await rm(dataDirectory, { recursive: true, force: true, maxRetries: 5 });
}
