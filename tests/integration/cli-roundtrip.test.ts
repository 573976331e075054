import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer, ottlaCommand } from "../support/ottla-server.ts";

interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

let server: OttlaServer;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ottla-cli-"));
  server = await OttlaServer.start();
});

afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

async function ottla(argv: readonly string[], options: { input?: string; outputFile?: string } = {}) {
  return run(ottlaCommand, argv, options);
}

async function run(
  command: string,
  argv: readonly string[],
  options: { input?: string; outputFile?: string } = {},
): Promise<CommandResult> {
  const child = spawn(command, argv, { env: { ...process.env, OTTLA_ADDRESS: server.address } });
  let stdout = "";
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  if (options.outputFile !== undefined) child.stdout.pipe(createWriteStream(options.outputFile));
  else child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stdin.end(options.input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

const LINES = 1_000_000;
const KEYS = 5000;

async function writeLines(path: string): Promise<void> {
  const file = createWriteStream(path);
  let state = 1;
  for (let block = 0; block < LINES / 10_000; block++) {
    let text = "";
    for (let index = 0; index < 10_000; index++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      text += `key${(state >> 8) % KEYS}:value number ${block * 10_000 + index}\n`;
    }
    if (!file.write(text)) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
}

/** For each key a digest of its values in their order: two files agree when all of these do. */
async function digestByKey(path: string): Promise<{ lines: number; keys: Map<string, string> }> {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  let lines = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const separator = line.indexOf(":");
    const key = line.slice(0, separator);
    let hash = hashes.get(key);
    if (hash === undefined) {
      hash = createHash("sha1");
      hashes.set(key, hash);
    }
    hash.update(line.slice(separator)).update("\n");
    lines++;
  }
  return { lines, keys: new Map([...hashes].map(([key, hash]) => [key, hash.digest("hex")])) };
}

describe("the ottla command against a real server", () => {
  test("a million lines come back: the same lines, each key's in order", async () => {
    const input = join(directory, "lines.txt");
    const output = join(directory, "out.txt");
    await writeLines(input);
    expect((await ottla(["topic", "create", "million", "-p", "4"])).stdout).toContain("4 partitions");
    const produced = await ottla(["produce", "million", "-k", ":", input]);
    expect(produced.stderr).toContain("1,000,000 records acknowledged");
    expect(produced.code).toBe(0);
    const consumed = await ottla(["consume", "million", "-o", "start", "-e", "-f", "%k:%s\\n"], {
      outputFile: output,
    });
    expect(consumed.code).toBe(0);
    const [sent, received] = await Promise.all([digestByKey(input), digestByKey(output)]);
    expect(received.lines).toBe(LINES);
    expect(received.keys).toEqual(sent.keys);
  });

  test("a group reads what is there, ends, and goes on behind it", async () => {
    await ottla(["topic", "create", "shared", "-p", "3"]);
    const consume = ["consume", "shared", "-g", "readers", "-e"];
    const lines = (text: string): number => text.split("\n").length - 1;
    expect(lines((await ottla(consume)).stdout)).toBe(0);
    await ottla(["produce", "shared"], { input: "1\n2\n3\n4\n5\n" });
    expect(lines((await ottla([...consume, "-n", "2"])).stdout)).toBe(2);
    const rest = await ottla(consume);
    expect([lines(rest.stdout), rest.code]).toEqual([3, 0]);
    expect(lines((await ottla(consume)).stdout)).toBe(0);
  });

  test("groups: what is wrong with one keeps no other from its turn", async () => {
    await ottla(["topic", "create", "turns", "-p", "2"]);
    await ottla(["produce", "turns"], { input: "1\n2\n3\n" });
    await ottla(["consume", "turns", "-g", "first", "-e"]);
    await ottla(["consume", "turns", "-g", "second", "-e"]);
    const described = await ottla(["group", "describe", "first", "none", "second"]);
    expect(described.stdout).toMatch(/^first: Empty.* lag 0$[^]*^second: Empty/m);
    expect(described).toMatchObject({ code: 1, stderr: expect.stringContaining('no group "none"') });
    const empty = await ottla([
      "group",
      "reset-offsets",
      "none",
      "--to",
      "end",
      "-t",
      "turns",
      "-t",
      "turns:0",
    ]);
    expect(empty.stdout.match(/^turns/gm)).toHaveLength(2);
    const wrong = await ottla(["group", "reset-offsets", "first", "--to", "bogus"]);
    expect(wrong).toMatchObject({ code: 64, stderr: expect.stringContaining("--to bogus: must be") });
    expect(await ottla(["group", "list", "-s", "Emty"])).toMatchObject({ code: 64 });
    const deleted = await ottla(["group", "delete", "none", "first", "second"]);
    expect(deleted).toMatchObject({ code: 1, stdout: "deleted first\ndeleted second\n" });
  });

  test("several topics at once, and in a group those that a pattern names", async () => {
    for (const topic of ["many-a", "many-b"]) {
      await ottla(["topic", "create", topic, "-p", "2"]);
      await ottla(["produce", topic], { input: `${topic} 1\n${topic} 2\n` });
    }
    const all = ["many-a 1", "many-a 2", "many-b 1", "many-b 2"];
    const sorted = ({ stdout }: CommandResult): string[] => stdout.trim().split("\n").toSorted();
    expect(sorted(await ottla(["consume", "many-a", "many-b", "-o", "start", "-e"]))).toEqual(all);
    expect(sorted(await ottla(["consume", "many-a", "many-b", "-g", "many", "-e"]))).toEqual(all);
    const byPattern = ["consume", "-g", "by-pattern", "--pattern", "many-.*", "-n", "4"];
    expect(sorted(await ottla(byPattern))).toEqual(all);
    for (const wrong of [[], ["--pattern", "many-.*"], [...byPattern.slice(1), "-e"]]) {
      expect(await ottla(["consume", ...wrong])).toMatchObject({ code: 64, stdout: "" });
    }
  });

  test("NDJSON carries keys, values, headers, partition and timestamp there and back", async () => {
    await ottla(["topic", "create", "json", "-p", "2"]);
    const input = [
      '{"key":"a","value":"one","headers":[{"key":"h","value":"x"}],"partition":1,"timestamp":1700000000000}',
      '{"key":null,"valueBase64":"/wD/","partition":1}',
    ].join("\n");
    expect((await ottla(["produce", "json", "-i", "ndjson"], { input })).code).toBe(0);
    const { stdout } = await ottla(["consume", "json", "-o", "start", "-e", "--json"]);
    const records = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    expect(records).toMatchObject([
      { topic: "json", partition: 1, offset: 0, timestamp: 1_700_000_000_000, key: "a", value: "one" },
      { partition: 1, offset: 1, key: null, valueBase64: "/wD/" },
    ]);
    expect(records[0]).toMatchObject({ headers: [{ key: "h", value: "x" }] });
  });

  test("-o and -n: the last ones, from an offset, from a time", async () => {
    await ottla(["topic", "create", "places"]);
    const lines = ["a", "b", "c", "d", "e"].map((value, index) =>
      JSON.stringify({ value, timestamp: 1_700_000_000_000 + index * 1000 }),
    );
    await ottla(["produce", "places", "-i", "ndjson"], { input: lines.join("\n") });
    const read = async (...argv: string[]) => (await ottla(["consume", "places", "-e", ...argv])).stdout;
    expect(await read("-o", "-2")).toBe("d\ne\n");
    expect(await read("-o", "3")).toBe("d\ne\n");
    expect(await read("-o", "start", "-n", "2")).toBe("a\nb\n");
    expect(await read("-o", "@1700000002000", "-f", "%o=%s ")).toBe("2=c 3=d 4=e ");
    expect(await read("-o", "end")).toBe("");
  });

  test("a reader that goes away is no error", async () => {
    const pipeline = `'${ottlaCommand}' consume million -o start | head -n 2`;
    const { code, stdout, stderr } = await run("sh", ["-c", pipeline]);
    expect(code).toBe(0);
    expect(stdout.split("\n")).toHaveLength(3);
    expect(stderr).toBe("");
  });

  test("Ctrl-C sends what was read, says how much was acknowledged, and exits with 130", async () => {
    await ottla(["topic", "create", "interrupted"]);
    const child = spawn(ottlaCommand, ["produce", "interrupted", "--linger-ms", "60000"], {
      env: { ...process.env, OTTLA_ADDRESS: server.address },
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    // What it has not read when it ends is nobody's any more.
    child.stdin.on("error", () => undefined);
    child.stdin.write("one\ntwo\n");
    // The line that follows was read only when a whole chunk was: fill the pipe, so that
    // the first chunk is in.
    await new Promise((resolve) => {
      child.stdin.write(`${"x".repeat(1_000_000)}\n`, resolve);
    });
    child.kill("SIGINT");
    const [code] = (await once(child, "close")) as [number | null];
    expect(code).toBe(130);
    expect(stderr).toMatch(/^interrupted: [23] records acknowledged/);
    const { stdout } = await ottla(["consume", "interrupted", "-o", "start", "-n", "2", "-e"]);
    expect(stdout).toBe("one\ntwo\n");
  });

  test("exit codes and messages: unknown topic, wrong usage, nobody there", async () => {
    const unknown = await ottla(["produce", "no-such-topic"], { input: "x\n" });
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("UNKNOWN_TOPIC_OR_PARTITION");
    const usage = await ottla(["consume", "million", "-o", "middle"]);
    expect(usage.code).toBe(64);
    const nobody = await ottla(["topic", "list", "--address", "localhost:9"]);
    expect(nobody.code).toBe(69);
    expect(nobody.stderr).toBe(
      "ottla: cannot reach localhost:9: is Ottla running there? (--address or OTTLA_ADDRESS names another)\n",
    );
  });

  test("topics: create, list, describe, alter, delete, as table, JSON and YAML", async () => {
    await ottla(["topic", "create", "life", "-p", "2", "-c", "retention.ms=1000000"]);
    const listed = JSON.parse((await ottla(["topic", "list", "--output", "json"])).stdout) as {
      name: string;
    }[];
    expect(listed.map(({ name }) => name)).toContain("life");
    await ottla(["topic", "alter", "life", "--set", "retention.ms=2000000", "--partitions", "3"]);
    const { stdout } = await ottla(["topic", "describe", "life"]);
    expect(stdout).toMatch(/3 partitions/);
    expect(stdout).toMatch(/retention.ms\s+2000000\s+topic/);
    const yaml = await ottla(["cluster", "describe", "--output", "yaml"]);
    expect(yaml.stdout).toMatch(/^clusterId: /m);
    expect((await ottla(["topic", "delete", "life"])).stdout).toBe("deleted life\n");
    expect((await ottla(["topic", "describe", "life"])).code).toBe(1);
  });
});
