/**
 * What the product keeps of the floor on its Kafka path, and the gRPC path beside it.
 * Run: `sh scripts/node.sh bench/kafka.ts [ROUNDS]`.
 *
 * The floor (bench/floor) parses Produce and Fetch, checks the CRC and writes: no product can
 * be faster in this shape. Floor and product run beside each other, rounds interleaved, with
 * the same client. The best round and the median are shown, because the machine is shared; the processor
 * time that the server used for a gigabyte says the same with less noise. Needs a C compiler,
 * librdkafka's headers, and for the Java figures the jars of tests/conformance/setup.sh.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import {
  buildRdkafkaBench,
  cpuMs,
  type Product,
  residentBytes,
  root,
  type Subject,
  startFloor,
  startProduct,
} from "./kafka-subjects.ts";

const ROUNDS = Number(process.argv[2] ?? 3);
const PARTITIONS = 4;
const PERF_TEST_PARTITIONS = 16;
const IDLE_CONNECTIONS = 1_000;
const SIZES = [
  { sizeBytes: 1_000, records: 800_000 },
  { sizeBytes: 100, records: 4_000_000 },
] as const;
const PERF_TEST = { sizeBytes: 1_024, records: 400_000 };

interface Figure {
  readonly megabytesPerSecond: number;
  /** The server's processor time for a gigabyte of values. */
  readonly cpuMsPerGigabyte: number;
}

/** workload → subject → one figure a round */
const figures = new Map<string, Map<string, Figure[]>>();

function note(workload: string, subject: string, figure: Figure): void {
  const subjects = figures.get(workload) ?? new Map<string, Figure[]>();
  subjects.set(subject, [...(subjects.get(subject) ?? []), figure]);
  figures.set(workload, subjects);
}

async function run(program: string, parameters: readonly string[]): Promise<string> {
  const child = spawn(program, parameters, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, "close");
  if (child.exitCode !== 0)
    throw new Error(`${program} ${parameters.join(" ")} ended with ${child.exitCode}`);
  return output;
}

/** Runs a client that says how fast it was, and counts what the server did for it. */
async function measure(
  workload: string,
  subject: Pick<Subject, "name" | "processId">,
  bytes: number,
  client: () => Promise<number>,
): Promise<void> {
  // What the one before has written must not be flushed at the cost of this one.
  execFileSync("sync");
  const before = cpuMs(subject.processId);
  const megabytesPerSecond = await client();
  const cpuMsPerGigabyte = ((cpuMs(subject.processId) - before) * 1e9) / bytes;
  note(workload, subject.name, { megabytesPerSecond, cpuMsPerGigabyte });
}

async function rdkafka(parameters: readonly string[]): Promise<number> {
  const output = await run(buildRdkafkaBench(), parameters);
  return Number(/megabytes_per_second=([\d.]+)/.exec(output)?.[1] ?? Number.NaN);
}

async function kafkaRound(round: number, subjects: readonly Subject[]): Promise<void> {
  for (const { sizeBytes, records } of SIZES) {
    const topic = `t-${sizeBytes}-${round}`;
    for (const subject of subjects) {
      await subject.createTopic(topic, PARTITIONS);
      const load = [subject.kafkaAddress, topic, `${PARTITIONS}`, `${records}`, `${sizeBytes}`];
      const client = () => rdkafka(["produce", ...load]);
      await measure(`produce ${sizeBytes} B, librdkafka`, subject, records * sizeBytes, client);
    }
    const wanted = records / PARTITIONS;
    for (const subject of subjects) {
      const client = () => rdkafka(["consume", subject.kafkaAddress, topic, "0", `${wanted}`]);
      await measure(`fetch ${sizeBytes} B, librdkafka`, subject, wanted * sizeBytes, client);
      await subject.deleteTopic(topic);
    }
  }
}

async function perfTestRound(round: number, subjects: readonly Subject[]): Promise<void> {
  const jars = join(root, ".cache/conformance/jars");
  if (!existsSync(jars)) return;
  const { records, sizeBytes } = PERF_TEST;
  for (const subject of subjects) {
    const topic = `perf-${round}`;
    await subject.createTopic(topic, PERF_TEST_PARTITIONS);
    const load = `--topic ${topic} --num-records ${records} --record-size ${sizeBytes} --throughput -1`;
    const properties = `--producer-props bootstrap.servers=${subject.kafkaAddress} acks=all`;
    const main = ["-Xmx512m", "-cp", `${jars}/*`, "org.apache.kafka.tools.ProducerPerformance"];
    const client = async (): Promise<number> => {
      const output = await run("java", [...main, ...`${load} ${properties}`.split(" ")]);
      // The last line is that of the whole run; its MB are mebibytes.
      const all = [...output.matchAll(/\(([\d.]+) MB\/sec\)/g)];
      return Number(all.at(-1)?.[1] ?? Number.NaN) * 1.048_576;
    };
    await measure("kafka-producer-perf-test 1 KiB, 16 partitions", subject, records * sizeBytes, client);
    await subject.deleteTopic(topic);
  }
}

async function grpcRound(round: number, product: Product): Promise<void> {
  for (const { sizeBytes, records } of SIZES) {
    const topic = `grpc-${sizeBytes}-${round}`;
    await product.createTopic(topic, PARTITIONS);
    const place = ["--address", product.grpcAddress, "--output", "json", "-t", topic, "-n", `${records}`];
    const client = async (workload: string, more: readonly string[]): Promise<number> => {
      const output = await run(join(root, "bin/ottla"), ["bench", workload, ...place, ...more]);
      return (JSON.parse(output) as { megabytesPerSecond: number }).megabytesPerSecond;
    };
    const bytes = records * sizeBytes;
    const produce = () => client("produce", ["-s", `${sizeBytes}`]);
    await measure(`produce ${sizeBytes} B, our SDK over gRPC`, product, bytes, produce);
    await measure(`read ${sizeBytes} B, our SDK over gRPC`, product, bytes, () => client("consume", []));
    await product.deleteTopic(topic);
  }
}

/** What an idle connection costs: each has asked for the API versions once, as clients do. */
async function idleConnections(product: Product): Promise<number> {
  const port = Number(product.kafkaAddress.split(":")[1]);
  const before = residentBytes(product.processId, "VmRSS");
  const sockets: Socket[] = [];
  for (let index = 0; index < IDLE_CONNECTIONS; index++) {
    const socket = connect(port, "127.0.0.1");
    // ApiVersions (18), version 0, correlation id 1, client id "idle".
    socket.write(Buffer.from("0000000e0012000000000001000469646c65", "hex"));
    await once(socket, "data");
    sockets.push(socket);
  }
  const after = residentBytes(product.processId, "VmRSS");
  for (const socket of sockets) socket.destroy();
  return (after - before) / IDLE_CONNECTIONS;
}

/** No subject is always the first to run cold, or the last to run on a full disk. */
function turned(subjects: readonly Subject[], round: number): Subject[] {
  return subjects
    .map((_, index) => subjects[(index + round) % subjects.length])
    .filter((one) => one !== undefined);
}

function print(): void {
  for (const [workload, subjects] of figures) {
    const ours = subjects.get("product") ?? [];
    for (const [subject, all] of subjects) {
      const [most, middle] = [best(all), median(all)];
      const rate = `best ${rateOf(most)}, median ${rateOf(middle)} MB/s`;
      const cpu = `${middle.cpuMsPerGigabyte.toFixed(0).padStart(6)} ms of processor a GB`;
      const comparison =
        subject === "product"
          ? ""
          : `${compare(best(ours), most)}; medians: ${compare(median(ours), middle)}`;
      process.stdout.write(`${workload.padEnd(46)} ${subject.padEnd(21)} ${rate} ${cpu}  ${comparison}\n`);
    }
  }
}

function best(all: readonly Figure[]): Figure {
  return {
    megabytesPerSecond: Math.max(...all.map((figure) => figure.megabytesPerSecond)),
    cpuMsPerGigabyte: Math.min(...all.map((figure) => figure.cpuMsPerGigabyte)),
  };
}

function median(all: readonly Figure[]): Figure {
  const middle = (values: readonly number[]): number =>
    values.toSorted((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
  return {
    megabytesPerSecond: middle(all.map((figure) => figure.megabytesPerSecond)),
    cpuMsPerGigabyte: middle(all.map((figure) => figure.cpuMsPerGigabyte)),
  };
}

function rateOf({ megabytesPerSecond }: Figure): string {
  return megabytesPerSecond.toFixed(0).padStart(5);
}

function compare(product: Figure, floor: Figure): string {
  const share = (100 * product.megabytesPerSecond) / floor.megabytesPerSecond;
  const cpu = product.cpuMsPerGigabyte / floor.cpuMsPerGigabyte;
  return `the product keeps ${share.toFixed(0)} % for ${cpu.toFixed(1)} times the processor`;
}

const product = await startProduct();
const floor = await startFloor(19_192, PARTITIONS, false);
const syncedFloor = await startFloor(19_193, PARTITIONS, true);
const wideFloor = await startFloor(19_194, PERF_TEST_PARTITIONS, true);
try {
  const idleBytes = await idleConnections(product);
  for (let round = 0; round < ROUNDS; round++) {
    await kafkaRound(round, turned([floor, syncedFloor, product], round));
    await perfTestRound(round, turned([wideFloor, product], round));
    await grpcRound(round, product);
  }
  print();
  process.stdout.write(
    `an idle connection costs ${(idleBytes / 1_000).toFixed(1)} KB (target below 50 KB)\n`,
  );
  const mostBytes = residentBytes(product.processId, "VmHWM");
  process.stdout.write(`the product used ${(mostBytes / 1e6).toFixed(0)} MB at the most\n`);
} finally {
  for (const subject of [product, floor, syncedFloor, wideFloor]) await subject.stop();
}
