import { execFile } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer, treeRoot } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";

const run = promisify(execFile);
const LINES = 1_000_000;
const KEYS = 1_000;

/** LINES lines of KEY:NUMBER, in which each key's numbers grow. */
async function writeLines(path: string): Promise<void> {
  const file = await open(path, "w");
  for (let first = 0; first < LINES; first += 10_000) {
    let text = "";
    for (let line = first; line < first + 10_000; line++)
      text += `key-${(line * 7919) % KEYS}:value ${line}\n`;
    await file.write(text);
  }
  await file.close();
}

describe.runIf(haveTools("python3"))("plain gRPC from Python, with generated stubs alone", () => {
  let server: OttlaServer;
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "ottla-python-"));
    await run("sh", ["tests/python/setup.sh"], { cwd: treeRoot });
    server = await OttlaServer.start();
  }, 180_000);

  afterAll(async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  });

  test("a million lines come back: the same multiset, each key in order", async () => {
    const path = join(directory, "lines");
    await writeLines(path);
    const python = join(treeRoot, ".cache/python/bin/python");
    const script = join(treeRoot, "tests/python/roundtrip.py");
    const environment = { ...process.env, PYTHONPATH: join(treeRoot, ".cache/python/stubs") };
    const { stdout } = await run(python, [script, server.address, "from-python", "4", path], {
      env: environment,
    });
    expect(stdout.trim()).toBe(`acknowledged ${LINES}, read ${LINES}, order kept for ${KEYS} keys`);
  });
});
