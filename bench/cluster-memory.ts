/**
 * Whether memory stays flat: a librdkafka client produces as fast as it can for minutes through a gateway
 * of its own into three storage nodes of their own, of whose logs retention keeps the last. Prints what
 * gateway and storage nodes have resident in each quarter of the run, and the slope over its second half.
 * Run: `sh scripts/node.sh bench/cluster-memory.ts [SECONDS [REPLICAS]]`. Needs etcd, a C compiler and
 * librdkafka's headers.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { systemClock } from "@ottla/runtime";
import { OttlaCluster, type OttlaNode } from "@ottla/tests/support/ottla-cluster";
import { buildRdkafkaBench, residentBytes, root } from "./kafka-subjects.ts";
import { percentile } from "./steady-load.ts";

const TOPIC = "long";
const PARTITIONS = 4;
const RECORD_BYTES = 1_000;
/** Of one client; another follows it, so connections come and go too. */
const RECORDS_OF_A_CLIENT = 5_000_000;
const SAMPLE_MS = 1_000;
const PART_SECONDS = 30;
const KEPT = { "retention.bytes": `${256 << 20}`, "segment.bytes": `${64 << 20}` };

const lengthMs = Number(process.argv[2] ?? 150) * 1_000;
const replicationFactor = Number(process.argv[3] ?? 1);

interface Sample {
  readonly atMs: number;
  readonly megabytes: number;
}

const samples = new Map<OttlaNode, Sample[]>();

/** Produces until the time is over; resolves with the megabytes that were acknowledged. */
async function produce(kafkaAddress: string, untilMs: number): Promise<number> {
  let megabytes = 0;
  while (systemClock.monotonic() < untilMs) {
    const load = [kafkaAddress, TOPIC, `${PARTITIONS}`, `${RECORDS_OF_A_CLIENT}`, `${RECORD_BYTES}`];
    const child = spawn(buildRdkafkaBench(), ["produce", ...load], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [exitCode] = (await once(child, "close")) as [number];
    if (exitCode !== 0) throw new Error("the client's records were not all acknowledged");
    megabytes += (RECORDS_OF_A_CLIENT * RECORD_BYTES) / 1e6;
  }
  return megabytes;
}

async function sampleUntil(isOver: () => boolean, startMs: number): Promise<void> {
  while (!isOver()) {
    for (const [node, ofNode] of samples) {
      const megabytes = residentBytes(node.processId ?? -1, "VmRSS") / 1e6;
      ofNode.push({ atMs: systemClock.monotonic() - startMs, megabytes });
    }
    await systemClock.sleep(SAMPLE_MS);
  }
}

/** Megabytes a minute, by least squares. */
function slope(of: readonly Sample[]): number {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanMs = mean(of.map(({ atMs }) => atMs));
  const meanMegabytes = mean(of.map(({ megabytes }) => megabytes));
  let product = 0;
  let square = 0;
  for (const { atMs, megabytes } of of) {
    product += (atMs - meanMs) * (megabytes - meanMegabytes);
    square += (atMs - meanMs) ** 2;
  }
  return (product / square) * 60_000;
}

function sayMemory(node: OttlaNode, all: readonly Sample[]): void {
  const medians = [0, 1, 2, 3].map((quarter) => {
    const from = Math.floor((all.length * quarter) / 4);
    const of = all.slice(from, Math.floor((all.length * (quarter + 1)) / 4));
    return of.map(({ megabytes }) => megabytes).toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN;
  });
  const quarters = medians.map((megabytes) => megabytes.toFixed(0)).join(", ");
  const growth = slope(all.slice(all.length >> 1)).toFixed(1);
  const most = Math.max(...all.map(({ megabytes }) => megabytes)).toFixed(0);
  say(`${node.name}: ${quarters} MB quarter by quarter, ${most} at the most, ${growth} MB a minute`);
}

/**
 * Of the gateway, 30 seconds a line. The least of what is in use has little garbage in it: if something
 * leaks, that grows. The most is what the allocator has to have, and may keep.
 */
function sayParts(watched: string): void {
  const rows = watched.trim().split("\n").map(toNumbers);
  say("gateway, each 30 s: resident; heap in use, least; array buffers: least, median, most; MB");
  for (let from = 0; from < rows.length; from += PART_SECONDS) {
    const of = rows.slice(from, from + PART_SECONDS);
    const [resident, heapUsed, arrayBuffers] = [0, 1, 4].map((index) =>
      of.map((row) => row[index] ?? Number.NaN).toSorted((a, b) => a - b),
    );
    const at = (ascending: readonly number[] = [], fraction: number): string =>
      percentile(ascending, fraction).toFixed(0);
    say(
      `${from} s: ${at(resident, 0.5)}; ${at(heapUsed, 0)}; ` +
        `${at(arrayBuffers, 0)}, ${at(arrayBuffers, 0.5)}, ${at(arrayBuffers, 1)}`,
    );
  }
}

function toNumbers(line: string): number[] {
  return line.split(" ").map(Number);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

buildRdkafkaBench();
const cluster = await OttlaCluster.start({
  coordinators: 1,
  storageNodes: 3,
  groupCoordinators: 0,
  gateways: 1,
});
const gateway = cluster.node("gateway", 1);
// Started again with a look at itself.
const watchFile = join(cluster.directory, "gateway-memory");
gateway.environment["NODE_OPTIONS"] = `--import ${join(root, "bench/memory-watch.ts")}`;
gateway.environment["MEMORY_WATCH"] = watchFile;
await gateway.end("SIGTERM");
await gateway.launch();
const client = new Ottla({ address: `127.0.0.1:${gateway.grpcPort}` });
try {
  await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS, replicationFactor, configs: KEPT });
  for (const node of cluster.nodes) if (node.role !== "coordinator") samples.set(node, []);
  const startMs = systemClock.monotonic();
  let isOver = false;
  const producing = produce(`127.0.0.1:${gateway.kafkaPort}`, startMs + lengthMs).finally(() => {
    isOver = true;
  });
  const [megabytes] = await Promise.all([producing, sampleUntil(() => isOver, startMs)]);
  const seconds = (systemClock.monotonic() - startMs) / 1_000;
  say(`${(megabytes / 1e3).toFixed(0)} GB in ${seconds.toFixed(0)} s, ${replicationFactor} replicas`);
  for (const [node, all] of samples) sayMemory(node, all);
  sayParts(await readFile(watchFile, "utf8"));
} finally {
  await client.close();
  await cluster.stop();
}
