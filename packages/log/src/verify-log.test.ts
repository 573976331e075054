import { expect, test } from "vitest";
import { type DumpedItem, dumpLog } from "./dump-log.ts";
import { findLogDirectories } from "./offline-log.ts";
import { TestLog } from "./test-log.ts";
import { verifyLog } from "./verify-log.ts";

const FIRST = "00000000000000000000";

async function closedLog() {
  const fixture = new TestLog({ segmentBytes: 700, indexIntervalBytes: 100 });
  const log = await fixture.open();
  for (let index = 0; index < 12; index += 1) {
    const producer = { producerId: 4, producerEpoch: 0, baseSequence: index };
    fixture.append(log, [`${index}`.padEnd(50, ".")], {
      ...producer,
      timestampMs: fixture.clock.now() + index,
    });
  }
  await log.close();
  const batchBytes = log.sizeBytes / 12;
  const verify = () => verifyLog(fixture.directory, fixture.disk);
  return { fixture, batchBytes, verify, at: (name: string) => `${fixture.directory}/${name}` };
}

test("a sound log has no problems", async () => {
  const { verify } = await closedLog();
  expect(await verify()).toMatchObject({
    batchCount: 12,
    recordCount: 12,
    logStartOffset: 0,
    logEndOffset: 12,
    errorCount: 0,
    warningCount: 0,
    problems: [],
  });
});

test("a flipped bit is named with file, position and offset, and what follows is still checked", async () => {
  const { fixture, batchBytes, verify, at } = await closedLog();
  fixture.disk.flipBit(at(`${FIRST}.log`), { position: batchBytes * 2 + 80 });
  const found = await verify();
  expect(found.problems).toContainEqual(
    expect.objectContaining({
      severity: "error",
      file: at(`${FIRST}.log`),
      position: batchBytes * 2,
      offset: 2,
    }),
  );
  expect(found.batchCount).toBe(11);
});

test.each(["index", "timeindex", "snapshot", "leader-epoch-checkpoint", "log-checkpoint"])(
  "damage in a %s is noticed",
  async (kind) => {
    const { fixture, verify } = await closedLog();
    const names = (await fixture.names()).filter((name) => name.endsWith(kind));
    const path = `${fixture.directory}/${names[0]}`;
    const { byteLength } = await fixture.fileBytes(path);
    fixture.disk.flipBit(path, { position: Math.floor(byteLength / 2) });
    const found = await verify();
    expect(found.errorCount + found.warningCount).toBeGreaterThan(0);
    const told = found.problems.filter(({ file, problem }) => file === path || problem.includes(kind));
    expect(told.length).toBeGreaterThan(0);
  },
);

test("a missing segment, a missing end and a torn tail are told apart", async () => {
  const missing = await closedLog();
  const logs = (await missing.fixture.names()).filter((name) => name.endsWith(".log"));
  await missing.fixture.disk.remove(missing.at(logs[1] ?? ""));
  expect((await missing.verify()).problems[0]?.problem).toContain("are missing before it");

  const short = await closedLog();
  const last = (await short.fixture.names()).filter((name) => name.endsWith(".log")).at(-1) ?? "";
  await short.fixture.disk.remove(short.at(last));
  expect((await short.verify()).problems.some(({ problem }) => problem.includes("was synced up to 12"))).toBe(
    true,
  );

  const torn = await closedLog();
  await torn.fixture.overwrite(torn.at(last), 10_000, new Uint8Array(5));
  expect(await torn.verify()).toMatchObject({ errorCount: 0, warningCount: 1 });
});

test("a dump lists what the files hold, from an offset on", async () => {
  const { fixture } = await closedLog();
  const items: DumpedItem[] = [];
  const options = { records: true, indexes: true, fromOffset: 5 };
  for await (const item of dumpLog(fixture.directory, fixture.disk, options)) items.push(item);
  const offsets = items.flatMap((item) => (item.kind === "batch" ? [item.header.baseOffset] : []));
  expect(offsets).toEqual([5, 6, 7, 8, 9, 10, 11]);
  const kinds = new Set(items.map(({ kind }) => kind));
  const expected = [
    "checkpoint",
    "leader-epoch",
    "segment",
    "batch",
    "index-entry",
    "time-index-entry",
    "producer",
  ];
  expect([...kinds]).toEqual(expect.arrayContaining(expected));
});

test("logs are found in a partition directory, below a data directory, and nowhere else", async () => {
  const { fixture } = await closedLog();
  const { disk, directory } = fixture;
  expect(await findLogDirectories(directory, disk)).toEqual([directory]);
  expect(await findLogDirectories("/data", disk)).toEqual([directory]);
  await disk.makeDirectory("/other/topics");
  await disk.rename(directory, "/other/topics/t-0");
  expect(await findLogDirectories("/other", disk)).toEqual(["/other/topics/t-0"]);
  expect(await findLogDirectories("/data", disk)).toEqual([]);
});
