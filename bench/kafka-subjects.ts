/**
 * The two servers that bench/kafka.ts measures, as processes of their own, and what the kernel says of them.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Ottla } from "@ottla/client";

export const root = resolve(import.meta.dirname, "..");

/** A server under measurement. */
export interface Subject {
  readonly name: string;
  readonly kafkaAddress: string;
  readonly processId: number;
  createTopic(topic: string, partitions: number): Promise<void>;
  deleteTopic(topic: string): Promise<void>;
  stop(): Promise<void>;
}

/** The bare trial broker: with `sync` it answers after an fdatasync, as the product does. */
export async function startFloor(port: number, partitions: number, sync: boolean): Promise<Subject> {
  const directory = mkdtempSync(join(tmpdir(), "ottla-bench-floor-"));
  const script = join(root, "bench/floor/floor-broker.ts");
  const flags = ["--port", `${port}`, "--partitions", `${partitions}`, "--data-dir", directory];
  const command = [join(root, "scripts/node.sh"), "--max-semi-space-size=32", script, ...flags];
  const child = spawn("sh", sync ? [...command, "--sync"] : command, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, UV_THREADPOOL_SIZE: "16" },
  });
  await once(child.stdout, "data");
  return {
    name: sync ? "floor with fdatasync" : "floor",
    kafkaAddress: `127.0.0.1:${port}`,
    processId: child.pid ?? -1,
    // It creates topics by itself, and keeps them open until it ends.
    createTopic: () => Promise.resolve(),
    deleteTopic: () => Promise.resolve(),
    stop: async () => {
      await end(child);
      rmSync(directory, { recursive: true });
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

export type Product = Subject & { readonly grpcAddress: string };

/** `ottla serve` as it comes, on free ports, which its log names when it is ready. */
export async function startProduct(): Promise<Product> {
  const directory = mkdtempSync(join(tmpdir(), "ottla-bench-"));
  const ports = ["--grpc-port", "0", "--kafka-port", "0", "--http-port", "0"];
  const child = spawn(join(root, "bin/ottla"), ["serve", "--data-dir", directory, ...ports], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { grpcPort, kafkaPort } = await untilReady(child);
  const grpcAddress = `127.0.0.1:${grpcPort}`;
  const client = new Ottla({ address: grpcAddress });
  return {
    name: "product",
    kafkaAddress: `127.0.0.1:${kafkaPort}`,
    grpcAddress,
    processId: child.pid ?? -1,
    createTopic: async (name, partitions) => {
      await client.admin().createTopic({ name, partitions });
    },
    deleteTopic: (name) => client.admin().deleteTopic(name),
    stop: async () => {
      await client.close();
      await end(child);
      rmSync(directory, { recursive: true });
    },
  };
}

interface Ports {
  readonly grpcPort: number;
  readonly kafkaPort: number;
}

async function untilReady(child: ChildProcess): Promise<Ports> {
  const { promise, resolve: ready, reject } = Promise.withResolvers<Ports>();
  let output = "";
  const look = (chunk: Buffer): void => {
    output += chunk.toString();
    const line = output.split("\n").find((text) => text.includes('"msg":"ready"') && text.endsWith("}"));
    if (line !== undefined) ready(JSON.parse(line) as Ports);
  };
  child.stdout?.on("data", look);
  child.stderr?.on("data", look);
  child.once("exit", () => reject(new Error(`ottla serve ended before it was ready:\n${output}`)));
  return promise;
}

const CLOCK_TICK_MS = 10;

/** The processor time that a process has used since its start. */
export function cpuMs(processId: number): number {
  const fields = readFileSync(`/proc/${processId}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}

/** Memory of a process in bytes: now (VmRSS), or at its most (VmHWM). */
export function residentBytes(processId: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${processId}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024;
}

/** Builds the C client when it is older than its source. */
export function buildRdkafkaBench(): string {
  const program = join(root, ".cache/rdkafka-bench");
  const source = join(root, "bench/floor/rdkafka-bench.c");
  execFileSync(
    "sh",
    [
      "-c",
      `mkdir -p .cache; [ "${program}" -nt "${source}" ] || cc -O2 -o "${program}" "${source}" -lrdkafka`,
    ],
    { cwd: root },
  );
  return program;
}
