/**
 * A fourth storage node joins three that hold data and serve producers: how long it takes until it
 * holds its share of the replicas, beside what the throttle of catching up allows, and what clients
 * notice. Run: `sh scripts/node.sh bench/add-node.ts [MEGABYTES [THROTTLE_MB_PER_SECOND]]`. Needs etcd.
 */
import { Ottla, type TopicDescription } from "@ottla/client";
import { systemClock } from "@ottla/runtime";
import { OttlaCluster } from "@ottla/tests/support/ottla-cluster";
import { percentile, SteadyLoad } from "./steady-load.ts";

const TOPIC = "grown";
const PARTITIONS = 24;
const REPLICAS = 3;
const CALM_MS = 15_000;
const RECORD_BYTES = 10_000;

const megabytes = Number(process.argv[2] ?? "480");
const throttleMegabytes = Number(process.argv[3] ?? "10");
const cluster = await OttlaCluster.start(
  { coordinators: 1, storageNodes: 3, groupCoordinators: 1, gateways: 1 },
  [`--storage-catch-up-bytes-per-second=${throttleMegabytes * 1_000_000}`],
);
const client = new Ottla({ address: `127.0.0.1:${cluster.node("gateway", 1).grpcPort}` });

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function describe(): Promise<TopicDescription> {
  const [topic] = await client.admin().describeTopics([TOPIC]);
  if (topic === undefined) throw new Error("the topic is gone");
  return topic;
}

async function write(bytes: number): Promise<void> {
  const producer = client.producer();
  const value = new Uint8Array(RECORD_BYTES).fill(120);
  for (let sent = 0; sent < bytes; sent += RECORD_BYTES) {
    const partition = (sent / RECORD_BYTES) % PARTITIONS;
    if (!producer.post({ topic: TOPIC, partition, value })) await producer.ready();
  }
  await producer.close();
}

function sayLatencies(when: string, ascending: readonly number[]): number {
  const p99Ms = percentile(ascending, 0.99);
  const [p50, p99, most] = [percentile(ascending, 0.5), p99Ms, ascending.at(-1) ?? Number.NaN];
  say(`${when}: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${most.toFixed(0)} ms`);
  return p99Ms;
}

/** Replicas that are in sync on the new node, and how many are on their way anywhere. */
function progress({ partitions }: TopicDescription, nodeId: number): { held: number; moving: number } {
  const held = partitions.filter(({ inSyncReplicas }) => inSyncReplicas.includes(nodeId)).length;
  const moving = partitions.filter(({ replicas }) => replicas.length > REPLICAS).length;
  return { held, moving };
}

try {
  await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS, replicationFactor: REPLICAS });
  await write(megabytes * 1e6);
  const load = new SteadyLoad({
    client,
    topic: TOPIC,
    partitions: PARTITIONS,
    recordsPerSecond: 10,
    valueBytes: 1_000,
  });
  await systemClock.sleep(CALM_MS);
  load.takeLatenciesMs();
  await systemClock.sleep(CALM_MS);
  const calmMs = sayLatencies("before", load.takeLatenciesMs());
  const startMs = systemClock.monotonic();
  const joined = await cluster.addNode("partition-storage");
  const readyMs = systemClock.monotonic();
  const startSeconds = ((readyMs - startMs) / 1_000).toFixed(1);
  // On a machine that it has for itself nobody would notice that.
  sayLatencies(`while its process started, ${startSeconds} s on the same cores`, load.takeLatenciesMs());
  const share = Math.floor((PARTITIONS * REPLICAS) / 4);
  for (;;) {
    const { held, moving } = progress(await describe(), joined.nodeId);
    if (held >= share && moving === 0) break;
    await systemClock.sleep(200);
  }
  const seconds = (systemClock.monotonic() - readyMs) / 1_000;
  const busyMs = sayLatencies("while it is filled", load.takeLatenciesMs());
  const caughtUp = "ottla_partition_storage_replication_catch_up_received_bytes_total";
  const movedMegabytes = (await joined.metric(caughtUp)) / 1e6;
  say(
    `the fourth node holds ${share} replicas, ${movedMegabytes.toFixed(0)} MB caught up, ` +
      `${seconds.toFixed(1)} s after it was ready`,
  );
  say(`the throttle allows it in ${(movedMegabytes / throttleMegabytes).toFixed(1)} s`);
  say(`p99 meanwhile is ${(busyMs / calmMs).toFixed(2)} times what it was; target below 2`);
  await load.stop();
} finally {
  await client.close().catch(() => undefined);
  await cluster.stop();
}
