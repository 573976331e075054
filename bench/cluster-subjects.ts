/**
 * What bench/cluster.ts measures: a whole Ottla of many processes over etcd, and the floor with one gRPC hop.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { systemClock } from "@ottla/runtime";
import { root } from "./kafka-subjects.ts";

const START_TIMEOUT_MS = 60_000;
/** Where processes leave profiles of their processor time, when that is wanted. */
const PROFILES = process.env["BENCH_CPU_PROFILES"];

export interface Part {
  readonly name: string;
  readonly child: ChildProcess;
}

export interface BenchCluster {
  readonly kafkaAddress: string;
  readonly grpcAddress: string;
  readonly client: Ottla;
  readonly parts: readonly Part[];
  /** Kills a storage node as a crash does. */
  kill(nodeId: number): Promise<void>;
  /** Starts it again on its data, and waits until it is ready. */
  restart(nodeId: number): Promise<void>;
  httpPort(name: string): number;
  stop(): Promise<void>;
}

interface NodePorts {
  readonly grpc: number;
  readonly kafka: number;
  readonly http: number;
  readonly internal: number;
}

/** A coordinator, some storage nodes and a gateway, each a process, over an etcd that does not sync. */
export async function startCluster(
  storageNodes: number,
  flags: readonly string[] = [],
): Promise<BenchCluster> {
  const directory = mkdtempSync(join(tmpdir(), "ottla-bench-cluster-"));
  const parts = new Map<string, ChildProcess>();
  const ports = new Map<string, NodePorts>();
  const etcd = await startEtcd(directory);
  parts.set("etcd", etcd.child);
  const launch = async (target: string, nodeId: number): Promise<void> => {
    const name = `${target}-${nodeId}`;
    const its = ports.get(name) ?? (await nodePorts());
    ports.set(name, its);
    const doors = [`--grpc-port=${its.grpc}`, `--kafka-port=${its.kafka}`, `--http-port=${its.http}`];
    const place = [`--internal-port=${its.internal}`, `--data-dir=${join(directory, name)}`];
    const own = target === "partition-storage" ? flags : [];
    const parameters = ["serve", `--target=${target}`, `--node-id=${nodeId}`, ...doors, ...place, ...own];
    const child = spawn(join(root, "bin/ottla"), parameters, {
      stdio: ["ignore", "ignore", process.env["BENCH_LOGS"] === undefined ? "ignore" : "inherit"],
      env: {
        ...process.env,
        OTTLA_ETCD_ENDPOINTS: etcd.endpoint,
        OTTLA_CLUSTER_SECRET: "a secret of the nodes under measurement",
        OTTLA_LOG_LEVEL: "warn",
        ...profiling(name),
      },
    });
    parts.set(name, child);
    await untilAnswered(`http://127.0.0.1:${its.http}/readyz`, child, name);
  };
  await launch("coordinator", 1);
  for (let nodeId = 1; nodeId <= storageNodes; nodeId += 1) await launch("partition-storage", nodeId);
  await launch("gateway", 1);
  const door = ports.get("gateway-1");
  const grpcAddress = `127.0.0.1:${door?.grpc}`;
  const client = new Ottla({ address: grpcAddress });
  return {
    kafkaAddress: `127.0.0.1:${door?.kafka}`,
    grpcAddress,
    client,
    get parts() {
      return [...parts].map(([name, child]) => ({ name, child }));
    },
    kill: async (nodeId) => end(parts.get(`partition-storage-${nodeId}`), "SIGKILL"),
    restart: (nodeId) => launch("partition-storage", nodeId),
    httpPort: (name) => ports.get(name)?.http ?? 0,
    stop: async () => {
      await client.close();
      const signal = PROFILES === undefined ? "SIGKILL" : "SIGTERM";
      for (const child of [...parts.values()].toReversed()) await end(child, signal);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The trial broker before a trial storage process, with one bare grpc-js stream between them. */
export async function startFloorWithHop(partitions: number): Promise<{
  readonly kafkaAddress: string;
  readonly parts: readonly Part[];
  stop(): Promise<void>;
}> {
  const directory = mkdtempSync(join(tmpdir(), "ottla-bench-hop-"));
  const run = (script: string, flags: readonly string[]): ChildProcess =>
    spawn("sh", [join(root, "scripts/node.sh"), "--max-semi-space-size=32", join(root, script), ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, UV_THREADPOOL_SIZE: "16" },
    });
  const storage = run("bench/floor/floor-storage.ts", ["--data-dir", join(directory, "storage")]);
  const [line] = (await once(storage.stdout ?? storage, "data")) as [Buffer];
  const [port = 0] = await freePorts(1);
  const place = ["--data-dir", join(directory, "door"), "--storage", `127.0.0.1:${line.toString().trim()}`];
  const shape = ["--port", `${port}`, "--partitions", `${partitions}`];
  const door = run("bench/floor/floor-broker.ts", [...shape, ...place]);
  await once(door.stdout ?? door, "data");
  return {
    kafkaAddress: `127.0.0.1:${port}`,
    parts: [
      { name: "floor door", child: door },
      { name: "floor storage", child: storage },
    ],
    stop: async () => {
      await end(door, "SIGTERM");
      await end(storage, "SIGTERM");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function startEtcd(directory: string): Promise<{ child: ChildProcess; endpoint: string }> {
  const [clientPort, peerPort] = await freePorts(2);
  const endpoint = `http://127.0.0.1:${clientPort}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const flags = [
    `--data-dir=${join(directory, "etcd")}`,
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    "--unsafe-no-fsync",
    "--logger=zap",
    "--log-level=error",
  ];
  const child = spawn("etcd", flags, { stdio: "ignore" });
  await untilAnswered(`${endpoint}/health`, child, "etcd");
  return { child, endpoint };
}

function profiling(name: string): Record<string, string> {
  if (PROFILES === undefined) return {};
  return { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${PROFILES} --cpu-prof-name=${name}.cpuprofile` };
}

async function untilAnswered(url: string, child: ChildProcess, name: string): Promise<void> {
  const untilMs = systemClock.monotonic() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok === true) return;
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    if (systemClock.monotonic() > untilMs) {
      throw new Error(`${name} is not ready: ${(await answer?.text()) ?? "no answer"}`);
    }
    await systemClock.sleep(50);
  }
}

async function end(child: ChildProcess | undefined, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

async function nodePorts(): Promise<NodePorts> {
  const [grpc = 0, kafka = 0, http = 0, internal = 0] = await freePorts(4);
  return { grpc, kafka, http, internal };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    ports.push(address.port);
  }
  for (const server of servers) server.close();
  return ports;
}
