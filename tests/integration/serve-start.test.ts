import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startTestNode, temporaryDirectory } from "./serve-support.ts";

const entry = fileURLToPath(new URL("../../services/standalone/src/serve.ts", import.meta.url));

interface Run {
  readonly code: number | null;
  readonly said: string;
}

/** Runs `serve`; ends it when it says that it is ready. */
function serve(...args: readonly string[]): Promise<Run> {
  const flags = ["--disable-warning=ExperimentalWarning", entry, ...args];
  const child = spawn(process.execPath, flags, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  let told = false;
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
    if (told || !said.includes('"msg":"ready"')) return;
    told = true;
    child.kill("SIGTERM");
  });
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, said })));
}

const FREE_PORTS = ["--grpc-port=0", "--kafka-port=0", "--http-port=0", "--log-format=json"];

test("a node starts, says what it serves, and stops cleanly on SIGTERM", async () => {
  const dataDir = await temporaryDirectory();
  const { code, said } = await serve("--data-dir", dataDir, ...FREE_PORTS);
  expect(said).toMatch(/"grpcPort":\d+,"kafkaPort":\d+,"httpPort":\d+.*"msg":"ready"/);
  expect(code).toBe(0);
});

test("a second process on the same data directory is refused and learns who holds it", async () => {
  const node = await startTestNode();
  const { code, said } = await serve("--data-dir", node.dataDir, ...FREE_PORTS);
  expect(code).toBe(75);
  expect(said).toContain(`held by process ${process.pid}`);
});

test("a port in use is refused with the flag that changes it", async () => {
  const node = await startTestNode();
  const dataDir = await temporaryDirectory();
  const grpc = await serve(
    "--data-dir",
    dataDir,
    ...FREE_PORTS,
    "--grpc-port",
    String(node.running.grpcPort),
  );
  expect(grpc.code).toBe(78);
  expect(grpc.said).toContain("--grpc-port");
  const http = await serve(
    "--data-dir",
    dataDir,
    ...FREE_PORTS,
    "--http-port",
    String(node.running.httpPort),
  );
  expect(http.code).toBe(78);
  expect(http.said).toContain("--http-port");
});

test("a data directory that cannot be one is refused with the flag that names it", async () => {
  const directory = await temporaryDirectory();
  await writeFile(`${directory}/file`, "not a directory");
  const { code, said } = await serve("--data-dir", `${directory}/file/data`, ...FREE_PORTS);
  expect(code).toBe(73);
  expect(said).toContain("--data-dir");
});

test("a data directory where none can be made is refused at once", async () => {
  const { code, said } = await serve("--data-dir", "/proc/ottla/data", ...FREE_PORTS);
  expect(code).toBe(73);
  expect(said).toMatch(/\/proc\/ottla\/data cannot be used: no directory can be made there; set --data-dir/);
});

test("a data directory of another cluster is refused", async () => {
  const dataDir = await temporaryDirectory();
  await serve("--data-dir", dataDir, ...FREE_PORTS);
  const { code, said } = await serve("--data-dir", dataDir, ...FREE_PORTS, "--cluster-id", "another");
  expect(code).toBe(73);
  expect(said).toContain("another");
});

test("an unknown flag, and roles that need a cluster, are refused", async () => {
  const dataDir = await temporaryDirectory();
  expect(await serve("--no-such-flag")).toMatchObject({ code: 78 });
  const { code, said } = await serve("--data-dir", dataDir, ...FREE_PORTS, "--target", "gateway");
  expect(code).toBe(78);
  expect(said).toContain("--target=all");
});

test("topic defaults that no topic could have are refused on an empty data directory too", async () => {
  const dataDir = await temporaryDirectory();
  const defaults = ["preallocate=true", "foo=1", "max.message.bytes=-5"];
  const flags = defaults.map((setting) => `--topic-default=${setting}`);
  const { code, said } = await serve("--data-dir", dataDir, ...FREE_PORTS, ...flags);
  expect(code).toBe(78);
  for (const name of ["preallocate", '"foo"', "max.message.bytes", "flag --topic-default"]) {
    expect(said).toContain(name);
  }
});

test("health and readiness are told apart, and metrics carry the product's names", async () => {
  const node = await startTestNode();
  expect((await fetch(`${node.httpUrl}/healthz`)).status).toBe(200);
  const ready = await fetch(`${node.httpUrl}/readyz`);
  expect(ready.status).toBe(200);
  expect(await ready.json()).toMatchObject({ ready: true });
  await node.admin.createTopic({ name: "t" });
  const metrics = await (await fetch(`${node.httpUrl}/metrics`)).text();
  expect(metrics).toContain('kafka_topic_partition_current_offset{topic="t",partition="0"} 0');
  expect(metrics).toContain("ottla_partition_storage_leaders 1");
  expect(metrics).toContain(
    'ottla_rpc_requests_total{method="ottla.v1.AdminService/CreateTopic",code="OK"} 1',
  );
  expect(metrics).toContain("ottla_gateway_appended_batches_total 0");
});
