import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer, ottlaCommand, treeRoot } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";

const run = promisify(execFile);
const MARK = "<!-- run by tests/integration/readme.test.ts -->";

/** The marked block of that language in the page. */
async function block(language: string, page = "README.md"): Promise<string> {
  const readme = await readFile(join(treeRoot, page), "utf8");
  const start = readme.indexOf(`${MARK}\n\`\`\`${language}\n`);
  expect(start).toBeGreaterThan(0);
  const from = readme.indexOf("\n", readme.indexOf("```", start)) + 1;
  return readme.slice(from, readme.indexOf("\n```", from));
}

let server: OttlaServer;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ottla-readme-"));
  server = await OttlaServer.start();
});

afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

test("the first five minutes do what the README says", async () => {
  const script = await block("sh");
  const shell = spawn("sh", ["-euxc", script], {
    cwd: treeRoot,
    env: { ...process.env, OTTLA_ADDRESS: server.address },
  });
  let output = "";
  shell.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  let log = "";
  shell.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const code = await new Promise((resolve) => shell.on("close", resolve));
  expect({ code, log: code === 0 ? "" : log }).toEqual({ code: 0, log: "" });
  expect(output).toContain("created greetings with 4 partitions");
  expect(output).toContain("\n100001\n");
  expect(output).toContain('"topic":"greetings","partition":0');
});

test("the TypeScript snippet sends and reads", async () => {
  // It lies where @ottla/client resolves, as it does for whoever has installed it.
  const path = join(treeRoot, "tests/.readme-snippet.ts");
  await writeFile(path, (await block("ts")).replace("localhost:50051", server.address));
  try {
    const { stdout } = await run("sh", ["scripts/node.sh", path], { cwd: treeRoot });
    expect(stdout).toMatch(/^\d\/\d+: hello from TypeScript\n$/);
  } finally {
    await rm(path);
  }
});

describe.runIf(haveTools("python3"))("in Python", () => {
  test("the snippet appends and reads", { timeout: 180_000 }, async () => {
    await run("sh", ["tests/python/setup.sh"], { cwd: treeRoot });
    const path = join(directory, "snippet.py");
    await writeFile(path, (await block("python")).replace("localhost:50051", server.address));
    const python = join(treeRoot, ".cache/python/bin/python");
    const environment = { ...process.env, PYTHONPATH: join(treeRoot, ".cache/python/stubs") };
    const { stdout } = await run(python, [path], { env: environment, maxBuffer: 64 << 20 });
    expect(stdout).toContain("base_offset");
    expect(stdout).toContain("b'user-");
  });

  test("the member of a group reads everything and has it stored", { timeout: 180_000 }, async () => {
    await run("sh", ["tests/python/setup.sh"], { cwd: treeRoot });
    const env = { ...process.env, OTTLA_ADDRESS: server.address };
    const ottla = (...argv: string[]) => run(ottlaCommand, argv, { env });
    await ottla("topic", "create", "groups-in-python", "-p", "1");
    await ottla("produce", "groups-in-python", join(treeRoot, "LICENSE"));
    const path = join(directory, "member.py");
    const code = await block("python", "docs/consumer-groups.md");
    const here = code.replace("localhost:50051", server.address);
    await writeFile(path, here.replace("greetings", "groups-in-python"));
    const child = spawn(join(treeRoot, ".cache/python/bin/python"), ["-u", path], {
      env: { ...process.env, PYTHONPATH: join(treeRoot, ".cache/python/stubs") },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let stdout = "";
    for await (const chunk of child.stdout.setEncoding("utf8")) {
      stdout += String(chunk);
      if (stdout.includes("stored")) break;
    }
    child.kill();
    expect(stdout).toMatch(/^0 0 b'/);
    expect((await ottla("group", "describe", "billing")).stdout).toMatch(/lag 0$/m);
  });
});

describe.runIf(haveTools("go"))("in Go", () => {
  test("the snippet appends and reads", { timeout: 300_000 }, async () => {
    const { stdout: module } = await run("sh", ["tests/go/setup.sh"], { cwd: treeRoot });
    const path = join(module.trim(), "main.go");
    await writeFile(path, (await block("go")).replace("localhost:50051", server.address));
    const { stdout } = await run("go", ["run", "."], { cwd: module.trim() });
    expect(stdout).toMatch(/^\d\/\d+: hello from Go\n$/);
  });
});
