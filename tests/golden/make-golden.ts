import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { offsetCommit } from "@ottla/kafka-protocol";
import { encodeBatch, type RecordInput } from "@ottla/records";
import { OttlaServer } from "../support/ottla-server.ts";
import {
  connect,
  FORMATS,
  type GoldenClients,
  type GoldenManifest,
  type GoldenRetry,
  readOffsets,
  readTopic,
} from "./golden-manifest.ts";

/**
 * `make golden`: writes a data directory with one of everything that is on disk, as the program writes it
 * now, and what must be read back from it, into tests/golden/NAME. OTTLA names another program, FORMATS (in
 * JSON) what differs from this program's formats then.
 */
const { values } = parseArgs({
  options: { name: { type: "string" }, ottla: { type: "string" }, formats: { type: "string" } },
});
const GROUP = "readers";
const DELETED = "deleted";
const START_MS = 1_700_000_000_000;
const TOPICS: Readonly<Record<string, { readonly partitions: number; readonly configs: object }>> = {
  plain: { partitions: 2, configs: { "segment.bytes": 1_048_576, "retention.ms": -1 } },
  compacted: { partitions: 1, configs: { "cleanup.policy": "compact", "retention.ms": -1 } },
  snappy: { partitions: 1, configs: { "compression.type": "snappy", "retention.ms": -1 } },
  lz4: { partitions: 1, configs: { "compression.type": "lz4", "retention.ms": -1 } },
  [DELETED]: { partitions: 1, configs: {} },
};

const dataDirectory = join(await mkdtemp(join(tmpdir(), "ottla-golden-")), "data");
const flags = ["--groups-offsets-topic-partitions", "2"];
const options = {
  dataDirectory,
  flags,
  ...(values.ottla === undefined ? {} : { command: resolve(values.ottla) }),
};
const server = await OttlaServer.start(options);
try {
  const manifest = await fill();
  const target = join(import.meta.dirname, values.name ?? String(manifest.featureLevel));
  await mkdir(target, { recursive: true });
  await writeFile(join(target, "manifest.json"), `${JSON.stringify(manifest, undefined, 1)}\n`);
  // Names and times that do not depend on the machine, so that a directory made anew differs where it must.
  const stable = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--exclude=lock.db*"];
  const archive = join(target, "data.tar.gz");
  execFileSync("tar", ["-czf", archive, ...stable, "-C", dataDirectory, "."]);
  process.stdout.write(`wrote ${target}\n`);
} finally {
  await server.stop();
  await rm(resolve(dataDirectory, ".."), { recursive: true, force: true });
}

async function fill(): Promise<GoldenManifest> {
  const first = await connect(server);
  for (const [name, { partitions, configs }] of Object.entries(TOPICS)) {
    await first.ottla.admin().createTopic({ name, partitions, configs: { ...configs } });
  }
  await produce(first);
  await first.close();
  // Another leader epoch for each partition, and logs that were opened after a clean stop.
  await server.terminate();
  await server.launch();
  const clients = await connect(server);
  const retry = await produceIdempotently(clients);
  await clients.ottla.admin().deleteRecords("plain", 1, 3n);
  await clients.ottla.admin().deleteTopic(DELETED);
  await commit(clients);
  const { version, featureLevel, clusterId } = await clients.ottla.admin().describeCluster();
  const topics = await Promise.all(
    Object.keys(TOPICS)
      .filter((name) => name !== DELETED)
      .map((name) => readTopic(clients, name)),
  );
  const offsets = await readOffsets(clients, GROUP);
  await clients.close();
  await server.terminate();
  const formats = { ...FORMATS, ...JSON.parse(values.formats ?? "{}") };
  return {
    version,
    featureLevel,
    formats,
    clusterId,
    topics,
    deletedTopic: DELETED,
    group: GROUP,
    offsets,
    retry,
  };
}

function record(index: number, value: string | null, key: string | null = `key-${index % 3}`): RecordInput {
  return {
    timestampMs: START_MS + index * 1_000,
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: index % 2 === 0 ? [] : [{ key: "header", value: Buffer.from(String(index)) }],
  };
}

async function append(
  { log }: GoldenClients,
  topic: string,
  partition: number,
  batch: Uint8Array,
): Promise<number> {
  const payload = { case: "batch" as const, value: batch };
  const { results } = await log.append({ topic, partition, payload });
  return Number(results[0]?.baseOffset ?? -1);
}

async function produce(clients: GoldenClients): Promise<void> {
  for (const compression of ["none", "gzip", "zstd"] as const) {
    for (const partition of [0, 1]) {
      const records = [record(0, "a"), record(1, ""), record(2, null), record(3, compression, null)];
      await append(clients, "plain", partition, encodeBatch(records, { compression }));
    }
  }
  // More than a segment holds, so that closed segments with indexes and snapshots are there.
  for (let index = 0; index < 8; index += 1) {
    await append(clients, "plain", 0, encodeBatch([record(index, `${index}`.repeat(200_000))]));
  }
  for (const topic of ["snappy", "lz4", DELETED]) {
    const records = Array.from({ length: 5 }, (_, index) => record(index, `${topic} `.repeat(40)));
    await append(clients, topic, 0, encodeBatch(records));
  }
  const compacted = [record(0, "old", "a"), record(1, "b", "b"), record(2, "new", "a"), record(3, null, "b")];
  await append(clients, "compacted", 0, encodeBatch(compacted));
}

/** Six batches of one producer, of which five are remembered. */
async function produceIdempotently(clients: GoldenClients): Promise<GoldenRetry> {
  const producerId = Number((await clients.log.initProducer({})).producerId);
  const retry = { topic: "plain", producerId, baseSequence: 0, values: [] as string[], baseOffset: -1 };
  for (let index = 0; index < 6; index += 1) {
    retry.baseSequence = index * 2;
    retry.values = [`idempotent ${index} a`, `idempotent ${index} b`];
    const records = retry.values.map((value, position) => record(position, value));
    const batch = encodeBatch(records, { producerId, producerEpoch: 0, baseSequence: retry.baseSequence });
    retry.baseOffset = await append(clients, "plain", 0, batch);
  }
  return retry;
}

async function commit({ kafka, ottla }: GoldenClients): Promise<void> {
  const partitions = [
    { partitionIndex: 0, committedOffset: 7, committedLeaderEpoch: 0, committedMetadata: "seven" },
    { partitionIndex: 1, committedOffset: 4, committedMetadata: "" },
  ];
  for (;;) {
    const answer = await kafka.call(offsetCommit, 8, {
      groupId: GROUP,
      memberId: "",
      topics: [{ name: "plain", partitions }],
    });
    // The groups' topic is made by the first who asks.
    if (answer.topics[0]?.partitions.every(({ errorCode }) => errorCode === 0) === true) break;
    await new Promise((resume) => setTimeout(resume, 100));
  }
  // A second version of an offset, and a member that has come and gone.
  const consumer = ottla.consumer({ group: GROUP, topics: ["lz4"] });
  let seen = 0;
  const running = consumer.run(() => {
    seen += 1;
    if (seen === 5) void consumer.close();
  });
  await running;
}
