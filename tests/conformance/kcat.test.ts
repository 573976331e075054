import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";
import { runChecked, runProgram } from "./support/programs.ts";

const START_MS = 1_700_000_000_000;

describe.runIf(haveTools("kcat"))("kcat", () => {
  let server: OttlaServer;

  beforeAll(async () => {
    server = await OttlaServer.start({ flags: ["--num-partitions", "3"] });
  });

  afterAll(async () => {
    await server.stop();
  });

  function kcat(parameters: readonly string[], input: string | Uint8Array = ""): Promise<string> {
    return runChecked("kcat", ["-b", server.kafkaAddress, "-q", ...parameters], { input });
  }

  /** What a consumer prints, a line for each record. */
  async function consume(...parameters: readonly string[]): Promise<string[]> {
    return (await kcat(["-C", "-e", ...parameters])).split("\n").slice(0, -1);
  }

  test("lines produced to a topic that did not exist are consumed from the beginning", async () => {
    const lines = Array.from({ length: 10_000 }, (_, index) => `line ${index}`);
    await kcat(["-P", "-t", "lines"], `${lines.join("\n")}\n`);
    expect((await consume("-t", "lines", "-o", "beginning")).sort()).toEqual([...lines].sort());
  });

  test("metadata shows one broker that leads every partition", async () => {
    await kcat(["-P", "-t", "listed", "-p", "0"], "x\n");
    const metadata = JSON.parse(await kcat(["-L", "-J"]));
    expect(metadata.brokers).toHaveLength(1);
    expect(metadata.controllerid).toBe(metadata.brokers[0].id);
    const topic = metadata.topics.find((one: { topic: string }) => one.topic === "listed");
    expect(topic.partitions).toHaveLength(3);
    for (const partition of topic.partitions) expect(partition.leader).toBe(metadata.brokers[0].id);
    expect(await kcat(["-L", "-t", "listed"])).toMatch(/topic "listed" with 3 partitions/);
  });

  test.each(["none", "gzip", "snappy", "lz4", "zstd"])("codec %s", async (codec) => {
    const topic = `codec-${codec}`;
    const lines = Array.from({ length: 1_000 }, (_, index) => `${index} ${"c".repeat(200)}`);
    await kcat(["-P", "-t", topic, "-p", "0", "-z", codec], `${lines.join("\n")}\n`);
    expect(await consume("-t", topic, "-p", "0", "-X", "check.crcs=true")).toEqual(lines);
  });

  test("keys, null keys and null values are told apart (-Z)", async () => {
    await kcat(
      ["-P", "-t", "nulls", "-p", "0", "-K", ":", "-Z"],
      "key:value\n:value without key\ntombstone:\n",
    );
    expect(await consume("-t", "nulls", "-p", "0", "-Z", "-f", "%k|%K|%s|%S\\n")).toEqual([
      "key|3|value|5",
      "NULL|-1|value without key|17",
      "tombstone|9|NULL|-1",
    ]);
  });

  test("headers come back in their order, one of them twice", async () => {
    const headers = ["-H", "first=1", "-H", "second=two", "-H", "first=again"];
    await kcat(["-P", "-t", "headers", "-p", "1", ...headers], "x\n");
    expect(await consume("-t", "headers", "-p", "1", "-f", "%h %s\\n")).toEqual([
      "first=1,second=two,first=again x",
    ]);
  });

  test("an idempotent producer", async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => String(index));
    const settings = ["-X", "enable.idempotence=true", "-X", "linger.ms=0"];
    await kcat(["-P", "-t", "idempotent", "-p", "2", ...settings], `${lines.join("\n")}\n`);
    expect(await consume("-t", "idempotent", "-p", "2")).toEqual(lines);
  });

  test("bytes of any value in values", async () => {
    const value = Buffer.from(Array.from({ length: 2_000 }, (_, index) => index % 256));
    await kcat(["-P", "-t", "bytes", "-p", "0", "-D", "no such text"], value);
    const hex = await kcat(["-C", "-e", "-t", "bytes", "-p", "0", "-f", "%S\\n"]);
    expect(hex).toBe("2000\n");
  });

  test("a partition that does not exist is refused", async () => {
    const { exitCode, errors } = await runProgram(
      "kcat",
      ["-b", server.kafkaAddress, "-P", "-t", "listed", "-p", "77"],
      { input: "x\n" },
    );
    expect(exitCode).not.toBe(0);
    expect(errors).toMatch(/partition/i);
  });

  describe("start and end offsets (-o)", () => {
    beforeAll(async () => {
      // kcat itself sends the time of the run: times are asked for relative to what the records got.
      for (let first = 0; first < 10; first += 5) {
        const lines = Array.from({ length: 5 }, (_, index) => String(first + index));
        await kcat(["-P", "-t", "offsets", "-p", "0"], `${lines.join("\n")}\n`);
      }
    });

    test.each([
      ["beginning", "0123456789"],
      ["3", "3456789"],
      ["-2", "89"],
      ["end", ""],
      [`s@${START_MS}`, "0123456789"],
    ])("-o %s", async (offset, expected) => {
      expect((await consume("-t", "offsets", "-p", "0", "-o", offset)).join("")).toBe(expected);
    });

    test("-o s@ and e@ with the timestamp of a record, -Q the same", async () => {
      const stamps = await consume("-t", "offsets", "-p", "0", "-f", "%T %o\\n");
      const [timestamp = ""] = stamps[5]?.split(" ") ?? [];
      const first = stamps.findIndex((line) => Number(line.split(" ")[0]) >= Number(timestamp));
      const from = await consume("-t", "offsets", "-p", "0", "-o", `s@${timestamp}`, "-f", "%o\\n");
      expect(from[0]).toBe(String(first));
      const until = await consume(
        "-t",
        "offsets",
        "-p",
        "0",
        "-o",
        `s@1`,
        "-o",
        `e@${timestamp}`,
        "-f",
        "%o\\n",
      );
      expect(until.at(-1)).toBe(String(first - 1));
      expect(await kcat(["-Q", "-t", `offsets:0:${timestamp}`])).toMatch(new RegExp(`offset ${first}\\b`));
      expect(await kcat(["-Q", "-t", "offsets:0:-1"])).toMatch(/offset 10\b/);
      expect(await kcat(["-Q", "-t", "offsets:0:-2"])).toMatch(/offset 0\b/);
    });

    test("-c ends after so many records", async () => {
      expect(await consume("-t", "offsets", "-p", "0", "-o", "4", "-c", "2")).toEqual(["4", "5"]);
    });
  });
});
