/**
 * The floor of a gateway before a storage node: the trial broker in two processes, with one bare grpc-js
 * stream between them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./kafka-subjects.ts";

export interface FloorWithHop {
  readonly kafkaAddress: string;
  readonly processIds: readonly number[];
  /** Of a topic to which nothing is written any more: it gives the memory of the page cache back. */
  emptyFiles(topic: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startFloorWithHop(partitions: number): Promise<FloorWithHop> {
  const directory = mkdtempSync(join(tmpdir(), "ottla-bench-hop-"));
  const run = (script: string, flags: readonly string[]): ChildProcess =>
    spawn("sh", [join(root, "scripts/node.sh"), "--max-semi-space-size=32", join(root, script), ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, UV_THREADPOOL_SIZE: "16" },
    });
  const storage = run("bench/floor/floor-storage.ts", ["--data-dir", join(directory, "storage")]);
  const [line] = (await once(storage.stdout ?? storage, "data")) as [Buffer];
  const port = await freePort();
  const place = ["--data-dir", join(directory, "door"), "--storage", `127.0.0.1:${line.toString().trim()}`];
  const shape = ["--port", `${port}`, "--partitions", `${partitions}`];
  const door = run("bench/floor/floor-broker.ts", [...shape, ...place]);
  await once(door.stdout ?? door, "data");
  return {
    kafkaAddress: `127.0.0.1:${port}`,
    processIds: [door.pid ?? -1, storage.pid ?? -1],
    emptyFiles: async (topic) => {
      for (let partition = 0; partition < partitions; partition += 1) {
        await truncate(join(directory, "storage", `${topic}-${partition}.log`));
      }
    },
    stop: async () => {
      for (const child of [door, storage]) {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
