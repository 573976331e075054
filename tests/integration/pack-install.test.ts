import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer, treeRoot } from "../support/ottla-server.ts";

const run = promisify(execFile);

/** What a user would write; it is type-checked against the declarations and run on two versions of Node. */
const PROGRAM = `
import { type DeliveredRecord, Ottla, OttlaError } from "@ottla/client";

const [address = "", topic = ""] = process.argv.slice(2);
const ottla = new Ottla({ address, clientId: "packed" });
await ottla.admin().createTopic({ name: topic, partitions: 2 });
const producer = ottla.producer({ compression: "zstd", lingerMs: 1 });
const sent: Promise<DeliveredRecord>[] = [];
for (let index = 0; index < 1000; index++) {
  sent.push(producer.send({ topic, key: "k" + (index % 7), value: String(index), headers: { a: "b" } }));
}
const offsets: bigint[] = (await Promise.all(sent)).map((record) => record.offset);
const consumer = ottla.consumer();
await consumer.assign([{ topic, offset: "earliest" }]);
let sum = 0;
for await (const record of consumer.records({ stopAtEnd: true })) {
  sum += Number(Buffer.from(record.value ?? []).toString());
}
const failure: unknown = await ottla.admin().deleteTopic("none such").catch((error: unknown) => error);
const code = failure instanceof OttlaError ? failure.code : "no OttlaError";
await ottla.close();
process.stdout.write(JSON.stringify({ node: process.version, records: offsets.length, sum, code }));
`;

/** npm only warns when it cannot write a file of a package. */
async function checkUnpacked(tarball: string, warnings: string): Promise<void> {
  const { stdout } = await run("tar", ["-tzf", tarball]);
  const name = /ottla-([a-z]+)-\d+\.\d+\.\d+\.tgz$/.exec(tarball)?.[1] ?? "";
  const root = join(directory, "node_modules/@ottla", name);
  const unpacked = new Set(await readdir(root, { recursive: true }));
  const files = stdout.split("\n").filter((line) => line !== "" && !line.endsWith("/"));
  const missing = files.map((line) => line.replace(/^package\//, "")).filter((path) => !unpacked.has(path));
  if (files.length > 3 && missing.length === 0) return;
  throw new Error(`${tarball} has ${files.length} files; not unpacked: ${missing.join(", ")}\n${warnings}`);
}

let directory: string;
let server: OttlaServer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ottla-pack-"));
  const packed = join(directory, "packed");
  const packing = run(process.execPath, [join(treeRoot, "scripts/pack.ts"), "--out", packed]);
  [server] = await Promise.all([OttlaServer.start(), packing]);
  const tarballs = (await readdir(packed)).filter((name) => name.endsWith(".tgz"));
  if (tarballs.length !== 6) throw new Error(`six tarballs expected, not ${tarballs.join(", ")}`);
  await writeFile(
    join(directory, "package.json"),
    JSON.stringify({ name: "user", private: true, type: "module" }),
  );
  const platform = `${process.platform}-${process.arch}`;
  const install = ["install", "--no-audit", "--no-fund"];
  await run("npm", [...install, `node22@npm:node-${platform}@22`, "@types/node@22"], { cwd: directory });
  // A cache of its own: nothing that an earlier build of the same version has left may be taken.
  const cache = join(directory, "npm-cache");
  const paths = tarballs.map((name) => join(packed, name));
  const { stderr } = await run("npm", [...install, "--cache", cache, ...paths], { cwd: directory });
  for (const path of paths) await checkUnpacked(path, stderr);
  await writeFile(join(directory, "program.ts"), PROGRAM);
}, 300_000);

afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

describe("the packed SDK, installed in an empty folder", () => {
  test("its declarations type-check a strict program, which compiles to JavaScript", async () => {
    const options = ["--strict", "--target", "es2022", "--lib", "es2023,esnext.disposable"];
    const compiler = join(treeRoot, "node_modules/typescript/bin/tsc");
    const flags = [...options, "--module", "nodenext", "--types", "node", "--skipLibCheck", "false"];
    const compile = run(process.execPath, [compiler, ...flags, "program.ts"], { cwd: directory });
    await expect(
      compile.catch((thrown: unknown) => (thrown as { stdout: string }).stdout),
    ).resolves.toMatchObject({
      stdout: "",
    });
  });

  test.each([
    ["this Node", () => process.execPath, "node26", process.version],
    ["Node 22", () => join(directory, "node_modules/node22/bin/node"), "node22", "v22."],
  ])("it round-trips against a real server on %s", async (_name, node, topic, version) => {
    const { stdout } = await run(node(), ["program.js", server.address, topic], { cwd: directory });
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(result).toMatchObject({ records: 1000, sum: 499_500 });
    expect(result["node"]).toContain(version);
    expect(result["code"]).not.toBe("no OttlaError");
  });
});
