/**
 * The two servers that bench/kafka.ts measures, as processes of their own, and what the kernel says of them.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Ottla } from "@ottla/client";
import { OttlaServer } from "../tests/support/ottla-server.ts";

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

export async function startProduct(): Promise<Product> {
  const server = await OttlaServer.start();
  const client = new Ottla({ address: server.address });
  return {
    name: "product",
    kafkaAddress: server.kafkaAddress,
    grpcAddress: server.address,
    processId: server.processId,
    createTopic: async (name, partitions) => {
      await client.admin().createTopic({ name, partitions });
    },
    deleteTopic: (name) => client.admin().deleteTopic(name),
    stop: async () => {
      await client.close();
      await server.stop();
    },
  };
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
  execFileSync("sh", [
    "-c",
    `[ "${program}" -nt "${source}" ] || cc -O2 -o "${program}" "${source}" -lrdkafka`,
  ]);
  return program;
}
