import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OttlaServer, treeRoot } from "../support/ottla-server.ts";

const run = promisify(execFile);

let directory: string;
let ottla: string;
let server: OttlaServer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ottla-bundle-"));
  const built = join(directory, "built");
  await run(process.execPath, [join(treeRoot, "scripts/bundle.ts"), "--out", built]);
  // What was built elsewhere is what users get: nothing of the tree may be needed.
  const copied = join(directory, "a place with spaces");
  await cp(built, copied, { recursive: true });
  await rm(built, { recursive: true });
  ottla = join(copied, "bin/ottla");
  server = await OttlaServer.start({ command: ottla });
}, 120_000);

afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

async function call(argv: readonly string[], input = ""): Promise<string> {
  const child = run(ottla, argv, { env: { ...process.env, OTTLA_ADDRESS: server.address } });
  child.child.stdin?.end(input);
  return (await child).stdout;
}

test("a bundle that was copied elsewhere serves, and round-trips records with every codec", async () => {
  await call(["topic", "create", "t", "-p", "2"]);
  const lines = Array.from({ length: 500 }, (_, index) => `line ${index}`);
  const codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
  for (const codec of codecs) await call(["produce", "t", "-z", codec], `${lines.join("\n")}\n`);
  const read = (await call(["consume", "t", "-o", "start", "-e"])).trimEnd().split("\n");
  expect(read.toSorted()).toEqual(codecs.flatMap(() => lines).toSorted());
});

test("it says its version, also through a link", async () => {
  const link = join(directory, "ottla");
  await symlink(ottla, link);
  const { stdout } = await run(link, ["--version"]);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("it reaches for etcd when told to, and says that it waits", async () => {
  const waiting = run(ottla, ["serve", "--target=coordinator", "--http-port=0", "--internal-port=0"], {
    env: {
      ...process.env,
      OTTLA_ETCD_ENDPOINTS: "127.0.0.1:1",
      OTTLA_CLUSTER_SECRET: "a secret of the nodes under test",
    },
  });
  const { child } = waiting;
  await new Promise<void>((resolve) => {
    child.stderr?.on("data", (chunk: Buffer | string) => {
      if (String(chunk).includes("etcd does not answer")) resolve();
    });
  });
  child.kill("SIGTERM");
  await expect(waiting).resolves.toBeDefined();
});
