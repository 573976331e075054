/**
 * What replication costs: Kafka produce through a gateway of its own into storage nodes of their own, with
 * one and with three replicas, beside the floor with one gRPC hop; the latency of single records; and how
 * fast a replica catches up.
 * Run: `sh scripts/node.sh bench/cluster.ts [ROUNDS]`. Needs etcd, a C compiler and librdkafka's headers.
 *
 * All processes share the machine: client, gateway, three storage nodes, coordinator and etcd. So the
 * ratios within one run matter: subjects take turns, neighbours in time are compared, and the median of
 * the rounds' ratios counts. Three replicas mean that each byte is received, checked, written and
 * synced three times and sent twice more; the processor time of all processes says what that is.
 *
 * A first round is not counted. A virtual machine gets its memory from the host page by page, when a page is
 * first touched, which halves the rate of whoever comes first; and just-in-time compilers have had no time by
 * then. For the same reason what a subject has written is gone before the next begins: it then writes to the
 * pages of the page cache that have become free.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { OttlaCluster } from "@ottla/tests/support/ottla-cluster";
import { startFloorWithHop } from "./floor-with-hop.ts";
import { buildRdkafkaBench, cpuMs, residentBytes, root } from "./kafka-subjects.ts";

const ROUNDS = Number(process.argv[2] ?? 7);
const PARTITIONS = 4;
const SIZES = [
  { sizeBytes: 1_000, records: 500_000 },
  { sizeBytes: 100, records: 2_000_000 },
] as const;
const LATENCY_RECORDS = "2000";
const CATCH_UP = { sizeBytes: 10_000, records: 60_000 };

interface Figure {
  readonly megabytesPerSecond: number;
  /** Of all processes of the subject, for a gigabyte of values. */
  readonly cpuMsPerGigabyte: number;
}

const figures = new Map<string, Map<string, Figure[]>>();

async function rdkafka(parameters: readonly string[]): Promise<number> {
  const child = spawn(buildRdkafkaBench(), parameters, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, "close");
  return Number(/megabytes_per_second=([\d.]+)/.exec(output)?.[1] ?? Number.NaN);
}

function cpuOf(processIds: readonly number[]): number {
  return processIds.reduce((sum, processId) => sum + cpuMs(processId), 0);
}

interface Subject {
  readonly name: string;
  readonly kafkaAddress: string;
  readonly processIds: readonly number[];
  createTopic(topic: string): Promise<void>;
  deleteTopic(topic: string): Promise<void>;
}

function withReplicas(replicationFactor: number): Subject {
  return {
    name: replicationFactor === 1 ? "one replica" : `${replicationFactor} replicas`,
    kafkaAddress,
    processIds: cluster.nodes.map(({ processId }) => processId ?? -1),
    createTopic: async (name) => {
      await client.admin().createTopic({ name, partitions: PARTITIONS, replicationFactor });
    },
    deleteTopic: async (name) => {
      await client.admin().deleteTopic(name);
      await untilNoFiles();
    },
  };
}

/** Until the storage nodes have removed the files of all topics. */
async function untilNoFiles(): Promise<void> {
  const directories = cluster.nodes.filter(({ role }) => role === "partition-storage");
  for (const { dataDirectory } of directories) {
    while ((await readdir(join(dataDirectory, "topics"))).length > 0) {
      await new Promise((resume) => setTimeout(resume, 20));
    }
  }
}

async function measured(subject: Subject, topic: string, size: (typeof SIZES)[number]): Promise<Figure> {
  const { records, sizeBytes } = size;
  await subject.createTopic(topic);
  // What the one before has written must not be flushed at the cost of this one.
  execFileSync("sync");
  const before = cpuOf(subject.processIds);
  const load = [subject.kafkaAddress, topic, `${PARTITIONS}`, `${records}`, `${sizeBytes}`];
  const megabytesPerSecond = await rdkafka(["produce", ...load]);
  const cpuMsPerGigabyte = ((cpuOf(subject.processIds) - before) * 1e9) / (records * sizeBytes);
  await subject.deleteTopic(topic);
  return { megabytesPerSecond, cpuMsPerGigabyte };
}

async function produceRound(round: number, subjects: readonly Subject[]): Promise<void> {
  for (const size of SIZES) {
    for (const subject of subjects) {
      const topic = `t-${size.sizeBytes}-${round}-${subject.name.replaceAll(" ", "-")}`;
      const figure = await measured(subject, topic, size);
      if (round === 0) continue;
      const workload = `produce ${size.sizeBytes} B`;
      const all = figures.get(workload) ?? new Map<string, Figure[]>();
      figures.set(workload, all);
      all.set(subject.name, [...(all.get(subject.name) ?? []), figure]);
    }
  }
}

/** One record at a time, from `send` to a consumer. */
async function latency(replicationFactor: number): Promise<void> {
  const topic = `latency-${replicationFactor}`;
  await withReplicas(replicationFactor).createTopic(topic);
  const place = ["--address", grpcAddress, "--output", "json", "-t", topic, "-n", LATENCY_RECORDS];
  const child = spawn(join(root, "bin/ottla"), ["bench", "latency", ...place], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [output] = (await Promise.all([once(child.stdout, "data"), once(child, "close")]))[0] as [Buffer];
  process.stdout.write(
    `latency with ${replicationFactor} replicas: ${output.toString().replaceAll(/\s+/g, " ")}\n`,
  );
}

/** A node that was away gets what the others have written meanwhile. */
async function catchUp(): Promise<void> {
  const { records, sizeBytes } = CATCH_UP;
  const topic = "catch-up";
  await withReplicas(3).createTopic(topic);
  const node = cluster.node("partition-storage", 3);
  await node.end("SIGKILL");
  await rdkafka(["produce", kafkaAddress, topic, `${PARTITIONS}`, `${records}`, `${sizeBytes}`]);
  const restarted = node.launch();
  const received = async (): Promise<number> => {
    const bytes = await node
      .metric("ottla_partition_storage_replication_received_bytes_total")
      .catch(() => Number.NaN);
    // It has not come so far in its start.
    return Number.isNaN(bytes) ? 0 : bytes;
  };
  const missingBytes = records * sizeBytes;
  let startBytes = 0;
  while (startBytes === 0) {
    await new Promise((resume) => setTimeout(resume, 10));
    startBytes = await received();
  }
  const startedMs = performance.now();
  let receivedBytes = startBytes;
  while (receivedBytes < missingBytes) {
    await new Promise((resume) => setTimeout(resume, 20));
    receivedBytes = await received();
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const rate = ((receivedBytes - startBytes) / 1e6 / seconds).toFixed(0);
  process.stdout.write(`a replica that was away caught up at ${rate} MB/s, unthrottled\n`);
  await restarted;
}

function middle(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
}

function print(): void {
  for (const [workload, subjects] of figures) {
    for (const [subject, all] of subjects) {
      const rates = all.map(({ megabytesPerSecond }) => megabytesPerSecond);
      const rate = `best ${Math.max(...rates).toFixed(0)}, median ${middle(rates).toFixed(0)} MB/s`;
      const cpu = `${middle(all.map((figure) => figure.cpuMsPerGigabyte)).toFixed(0)} ms of processor a GB`;
      process.stdout.write(`${workload.padEnd(16)} ${subject.padEnd(22)} ${rate.padEnd(30)} ${cpu}\n`);
    }
    say(`${workload}: one replica keeps ${share(subjects, "one replica", "floor with a hop")} of the floor`);
    say(`${workload}: 3 replicas keep ${share(subjects, "3 replicas", "one replica")} of one`);
  }
  say("targets: 80 % of the floor, 40 % of one replica");
}

/** The median of the ratios of one round each, and between which they lie. */
function share(subjects: ReadonlyMap<string, readonly Figure[]>, of: string, than: string): string {
  const others = subjects.get(than) ?? [];
  const ratios = (subjects.get(of) ?? []).map(
    ({ megabytesPerSecond }, round) => megabytesPerSecond / (others[round]?.megabytesPerSecond ?? Number.NaN),
  );
  const [median, least, most] = [middle(ratios), Math.min(...ratios), Math.max(...ratios)].map((ratio) =>
    (ratio * 100).toFixed(0),
  );
  return `${median} % (${least} to ${most})`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const cluster = await OttlaCluster.start(
  { coordinators: 1, storageNodes: 3, groupCoordinators: 0, gateways: 1 },
  ["--storage-catch-up-bytes-per-second=64GiB"],
);
const gateway = cluster.node("gateway", 1);
const kafkaAddress = `127.0.0.1:${gateway.kafkaPort}`;
const grpcAddress = `127.0.0.1:${gateway.grpcPort}`;
const client = new Ottla({ address: grpcAddress });
const floor = await startFloorWithHop(PARTITIONS);
try {
  const hop: Subject = {
    ...floor,
    name: "floor with a hop",
    // It creates topics by itself, and keeps them until it ends, but their files may be emptied.
    createTopic: () => Promise.resolve(),
    deleteTopic: (topic) => floor.emptyFiles(topic),
  };
  const subjects = [hop, withReplicas(1), withReplicas(3)];
  for (let round = 0; round <= ROUNDS; round += 1) {
    await produceRound(round, [...subjects.slice(round % 3), ...subjects.slice(0, round % 3)]);
  }
  print();
  for (const replicationFactor of [1, 3]) await latency(replicationFactor);
  for (const { name, processId } of cluster.nodes) {
    const bytes = residentBytes(processId ?? -1, "VmHWM");
    process.stdout.write(`${name} used ${(bytes / 1e6).toFixed(0)} MB at the most\n`);
  }
  await catchUp();
} finally {
  await client.close();
  await floor.stop();
  await cluster.stop();
}
