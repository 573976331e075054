import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { CompactionPace, createLogResources, DEFAULT_LOG_CONFIG, SegmentedLog, verifyLog } from "@ottla/log";
import { COMPRESSIONS, encodeBatch } from "@ottla/records";
import { NodeDisk, nullLogger, SeededRandom, systemClock, systemRandom } from "@ottla/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { treeRoot } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";

const run = promisify(execFile);
const BATCHES = 400;

/** Kafka's own reader of log directories: it knows nothing of us, so what it accepts is Kafka's format. */
describe.runIf(haveTools("java", "mvn"))("Kafka's DumpLogSegments reads our files", () => {
  let directory: string;
  let classPath: string;
  let recordCount = 0;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "ottla-dump-"));
    const { stdout } = await run("sh", ["tests/tools/kafka-tools.sh"], { cwd: treeRoot });
    classPath = stdout.trim();
    recordCount = await writeLog(join(directory, "t-0"));
  }, 240_000);

  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  async function dump(...options: readonly string[]): Promise<{ stdout: string; stderr: string }> {
    const logging = ["-Dlog4j2.level=OFF", "-Dorg.apache.logging.log4j.simplelog.level=OFF"];
    const main = ["-cp", classPath, "kafka.tools.DumpLogSegments"];
    return run("java", ["-Xmx256m", ...logging, ...main, ...options], { maxBuffer: 256 * 1024 * 1024 });
  }

  async function files(suffix: string, partition = "t-0"): Promise<string> {
    const names = (await readdir(join(directory, partition))).filter((name) => name.endsWith(suffix));
    expect(names.length).toBeGreaterThan(1);
    return names.map((name) => join(directory, partition, name)).join(",");
  }

  test("every record of every codec in every segment, CRCs valid", async () => {
    const { stdout, stderr } = await dump(
      "--deep-iteration",
      "--print-data-log",
      "--files",
      await files(".log"),
    );
    expect(stderr).not.toMatch(/Non-consecutive|Exception/);
    expect(stdout).not.toMatch(/isvalid: false|not valid/i);
    expect(stdout.match(/^\| offset: /gm)).toHaveLength(recordCount);
    for (const codec of COMPRESSIONS) expect(stdout).toContain(`compresscodec: ${codec}`);
    expect(stdout).toContain("partitionLeaderEpoch: 7");
  });

  test("both indexes agree with the log", async () => {
    const indexes = await dump("--files", await files(".index"));
    expect(indexes.stderr).not.toMatch(/Mismatch|Exception/);
    expect(indexes.stdout).toMatch(/offset: \d+ position: \d+/);
    const timeIndexes = await dump("--files", await files(".timeindex"));
    expect(timeIndexes.stderr).not.toMatch(/mismatch|out of order|Found|Exception/i);
    expect(timeIndexes.stdout).toMatch(/timestamp: \d+ offset: \d+/);
    const sanity = await dump("--index-sanity-check", "--files", await files("index"));
    expect(sanity.stdout).toContain("passed sanity check");
    expect(sanity.stderr).not.toMatch(/Exception/);
  });

  test("a compacted log: gaps, tombstones with their delete horizon, emptied batches", async () => {
    const kept = await writeCompactedLog(join(directory, "t-1"));
    const { stdout, stderr } = await dump(
      "--deep-iteration",
      "--print-data-log",
      "--files",
      await files(".log", "t-1"),
    );
    // It says of gaps that records are not consecutive: that is what they are.
    expect(stderr).not.toMatch(/Exception/);
    expect(stdout).not.toMatch(/isvalid: false|not valid/i);
    expect(stdout.match(/^\| offset: /gm)).toHaveLength(kept);
    expect(stdout).toMatch(/deleteHorizonMs: OptionalLong\[\d+\]/);
    expect(stdout).toMatch(/count: 0 .*producerId: 77/);
    const indexes = await dump(
      "--files",
      `${await files(".index", "t-1")},${await files(".timeindex", "t-1")}`,
    );
    expect(indexes.stderr).not.toMatch(/Mismatch|mismatch|out of order|Exception/);
  });

  test("producer snapshots", async () => {
    const { stdout, stderr } = await dump("--files", await files(".snapshot"));
    expect(stderr).not.toMatch(/Corrupt|Exception/);
    expect(stdout).toMatch(/producerId: 77 producerEpoch: 3 .*firstSequence: \d+ lastSequence: \d+/);
  });
});

/**
 * Several segments with all codecs, two leader epochs and an idempotent producer; returns how many records.
 */
async function writeLog(directory: string): Promise<number> {
  const disk = new NodeDisk();
  const log = await SegmentedLog.open({
    directory,
    resources: createLogResources({ disk, clock: systemClock, random: systemRandom, logger: nullLogger }),
    config: { ...DEFAULT_LOG_CONFIG, segmentBytes: 200_000, indexIntervalBytes: 2000 },
    topicId: "0b9f5d1c-64d3-4fd8-9d4b-9f3a0c3f6a11",
  });
  const random = new SeededRandom(7);
  let sequence = 0;
  for (let index = 0; index < BATCHES; index += 1) {
    const count = 1 + random.integer(20);
    const records = Array.from({ length: count }, (_, record) => ({
      timestampMs: systemClock.now() - random.integer(5000),
      key: new TextEncoder().encode(`key ${record}`),
      value: random.bytes(random.integer(400)),
      headers: [{ key: "source", value: new TextEncoder().encode("test") }],
    }));
    const compression = COMPRESSIONS[index % COMPRESSIONS.length] ?? "none";
    const producer = index % 2 === 0 ? { producerId: 77, producerEpoch: 3, baseSequence: sequence } : {};
    if (index % 2 === 0) sequence += count;
    const leaderEpoch = index < BATCHES / 2 ? 2 : 7;
    const batch = encodeBatch(records, { compression, ...producer });
    log.append(batch, { leaderEpoch, validated: false, origin: "client" });
  }
  const recordCount = log.logEndOffset;
  await log.close();
  const found = await verifyLog(directory, disk);
  expect(found.problems).toEqual([]);
  expect(found.recordCount).toBe(recordCount);
  return recordCount;
}

/** Many values of few keys, some of them tombstones, compacted; returns how many records are left. */
async function writeCompactedLog(directory: string): Promise<number> {
  const disk = new NodeDisk();
  const log = await SegmentedLog.open({
    directory,
    resources: createLogResources({ disk, clock: systemClock, random: systemRandom, logger: nullLogger }),
    config: {
      ...DEFAULT_LOG_CONFIG,
      segmentBytes: 100_000,
      indexIntervalBytes: 2000,
      cleanupPolicy: ["compact"],
    },
  });
  const random = new SeededRandom(8);
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  let sequence = 0;
  for (let index = 0; index < BATCHES; index += 1) {
    const count = 1 + random.integer(20);
    const records = Array.from({ length: count }, () => ({
      timestampMs: systemClock.now() - random.integer(5000),
      key: bytes(`key ${random.integer(200)}`),
      value: random.integer(10) === 0 ? null : random.bytes(random.integer(400)),
    }));
    const compression = COMPRESSIONS[index % COMPRESSIONS.length] ?? "none";
    // The last batches of a producer that has gone: all their keys come again.
    const producer = index < 20 ? { producerId: 77, producerEpoch: 3, baseSequence: sequence } : {};
    sequence += count;
    const options = { leaderEpoch: 7, validated: false, origin: "client" } as const;
    log.append(encodeBatch(records, { compression, ...producer }), options);
  }
  await log.flush();
  const pace = new CompactionPace({ clock: systemClock, maxBytesPerSecond: Infinity });
  const work = { nowMs: systemClock.now(), highWatermark: log.logEndOffset, pace, maxMapBytes: 1_000_000 };
  const { removedRecords } = await log.compact(work);
  expect(removedRecords).toBeGreaterThan(BATCHES);
  const { logEndOffset } = log;
  await log.close();
  const found = await verifyLog(directory, disk);
  expect(found.problems).toEqual([]);
  expect(found.recordCount).toBe(logEndOffset - removedRecords);
  return found.recordCount;
}
