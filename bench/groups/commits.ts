import { offsetCommit } from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import { percentile } from "../steady-load.ts";
import { type BenchNode, COMMIT_VERSION, commitRequest, createTopic, say } from "./bench-node.ts";

const WARM_UP_MS = 2_000;
const MEASURED_MS = 5_000;
const SHAPES = [
  { clients: 64, partitions: 1 },
  { clients: 512, partitions: 1 },
  { clients: 512, partitions: 10 },
];

/** The unit is one OffsetCommit request, durable before its answer; each group has its own connection. */
export async function measureCommits(node: BenchNode): Promise<void> {
  const admin = await node.connect();
  await createTopic(admin, "commits", 10);
  admin.close();
  for (const shape of SHAPES) await measureShape(node, shape.clients, shape.partitions);
}

async function measureShape(node: BenchNode, groups: number, partitions: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: groups }, () => node.connect()));
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
  const [beforeMs, startedMs] = [await node.processorMs(), systemClock.monotonic()];
  const own = process.cpuUsage();
  const latenciesMs = await run(MEASURED_MS);
  const count = latenciesMs.length;
  const rate = (count / (systemClock.monotonic() - startedMs)) * 1_000;
  const each = (((await node.processorMs()) - beforeMs) / count) * 1_000;
  const { user, system } = process.cpuUsage(own);
  say(
    `commits of ${groups} groups, ${partitions} partitions a request, one under way each: ` +
      `${rate.toFixed(0)}/s, p50 ${percentile(latenciesMs, 0.5).toFixed(1)} ms, ` +
      `p99 ${percentile(latenciesMs, 0.99).toFixed(1)} ms, ` +
      `${each.toFixed(0)} µs of the server's processor time each, ` +
      `${((user + system) / count).toFixed(0)} µs of the clients'`,
  );
  for (const client of clients) client.close();
}
