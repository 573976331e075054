import { offsetCommit } from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import type { KafkaTestClient } from "@ottla/tests/support/kafka-client";
import { percentile } from "../steady-load.ts";
import { COMMIT_VERSION, commitRequest, createTopic, say } from "./bench-node.ts";

const WARM_UP_MS = 2_000;
const MEASURED_MS = 5_000;
const SHAPES = [
  { clients: 64, partitions: 1 },
  { clients: 512, partitions: 1 },
  { clients: 512, partitions: 10 },
];

/** What takes the commits: one process, or many. */
export interface CommitServer {
  connect(): Promise<KafkaTestClient>;
  /** Of all threads, by the name of the process: on a shared machine it says more than rates do. */
  processorMs(): Promise<ReadonlyMap<string, number>>;
}

/** The unit is one OffsetCommit request, durable before its answer; each group has its own connection. */
export async function measureCommits(server: CommitServer): Promise<void> {
  const admin = await server.connect();
  await createTopic(admin, "commits", 10);
  admin.close();
  for (const shape of SHAPES) await measureShape(server, shape.clients, shape.partitions);
}

async function measureShape(server: CommitServer, groups: number, partitions: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: groups }, () => server.connect()));
  const run = async (durationMs: number): Promise<number[]> => {
    const latenciesMs: number[] = [];
    const endMs = systemClock.monotonic() + durationMs;
    await Promise.all(
      clients.map(async (client, index) => {
        let sentMs = systemClock.monotonic();
        for (let offset = 0; sentMs < endMs; offset += 1) {
          const request = commitRequest(`commits-${index}`, "commits", partitions, offset);
          await client.call(offsetCommit, COMMIT_VERSION, request);
          const nowMs = systemClock.monotonic();
          latenciesMs.push(nowMs - sentMs);
          sentMs = nowMs;
        }
      }),
    );
    return latenciesMs.toSorted((a, b) => a - b);
  };
  await run(WARM_UP_MS);
  const [before, startedMs] = [await server.processorMs(), systemClock.monotonic()];
  const own = process.cpuUsage();
  const latenciesMs = await run(MEASURED_MS);
  const count = latenciesMs.length;
  const rate = (count / (systemClock.monotonic() - startedMs)) * 1_000;
  const each = [...(await server.processorMs())].map(([name, ms]) => {
    const microseconds = ((ms - (before.get(name) ?? 0)) / count) * 1_000;
    return `${microseconds.toFixed(0)} of ${name}`;
  });
  const { user, system } = process.cpuUsage(own);
  say(
    `commits of ${groups} groups, ${partitions} partitions a request, one under way each: ` +
      `${rate.toFixed(0)}/s, p50 ${percentile(latenciesMs, 0.5).toFixed(1)} ms, ` +
      `p99 ${percentile(latenciesMs, 0.99).toFixed(1)} ms, ` +
      `µs of processor time each: ${each.join(", ")}, ` +
      `${((user + system) / count).toFixed(0)} of the clients`,
  );
  for (const client of clients) client.close();
}
