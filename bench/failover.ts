/**
 * How long idempotent clients wait when the leader of their partitions is killed, and when it is
 * asked to stop: the longest time from `send` to the acknowledgement, over gRPC through a gateway.
 * Replication factor 3. Run: `sh scripts/node.sh bench/failover.ts [ROUNDS]`. Needs etcd.
 */
import { Ottla, type TopicDescription } from "@ottla/client";
import { systemClock } from "@ottla/runtime";
import { LEASE_TTL_MS, OttlaCluster, type OttlaNode } from "@ottla/tests/support/ottla-cluster";
import { percentile, SteadyLoad } from "./steady-load.ts";

const TARGETS_MS = { SIGKILL: LEASE_TTL_MS + 1_500, SIGTERM: 300 };
const TOPIC = "failover";
const PARTITIONS = 6;
const WARM_UP_MS = 5_000;
const SETTLE_MS = 2_000;

const rounds = Number(process.argv[2] ?? "5");
const cluster = await OttlaCluster.start({
  coordinators: 2,
  storageNodes: 3,
  groupCoordinators: 1,
  gateways: 1,
});
const client = new Ottla({ address: `127.0.0.1:${cluster.node("gateway", 1).grpcPort}` });

async function describe(): Promise<TopicDescription> {
  const [topic] = await client.admin().describeTopics([TOPIC]);
  if (topic === undefined) throw new Error("the topic is gone");
  return topic;
}

async function untilInSync(): Promise<void> {
  const isInSync = ({ partitions }: TopicDescription): boolean =>
    partitions.every(({ replicas, inSyncReplicas }) => inSyncReplicas.length === replicas.length);
  while (!isInSync(await describe())) await systemClock.sleep(50);
}

async function leaderOfMost(): Promise<{ node: OttlaNode; count: number }> {
  const { partitions } = await describe();
  const counts = new Map<number, number>();
  for (const { leader } of partitions) counts.set(leader, (counts.get(leader) ?? 0) + 1);
  const [nodeId = 0, count = 0] = [...counts].toSorted((a, b) => b[1] - a[1])[0] ?? [];
  return { node: cluster.node("partition-storage", nodeId), count };
}

async function longestStallMs(load: SteadyLoad, signal: "SIGKILL" | "SIGTERM"): Promise<number> {
  await untilInSync();
  await systemClock.sleep(SETTLE_MS);
  const { node, count } = await leaderOfMost();
  load.takeLatenciesMs();
  const ended = node.end(signal);
  // Until others lead, and what waited meanwhile is acknowledged.
  const isMoved = ({ partitions }: TopicDescription): boolean =>
    partitions.every(({ leader }) => leader >= 0 && leader !== node.nodeId);
  while (!isMoved(await describe())) await systemClock.sleep(20);
  await load.untilAcknowledged();
  await ended;
  const longestMs = load.takeLatenciesMs().at(-1) ?? Number.NaN;
  process.stdout.write(`${signal} of the leader of ${count}: ${Math.round(longestMs)} ms\n`);
  await node.launch();
  return longestMs;
}

try {
  await client.admin().createTopic({ name: TOPIC, partitions: PARTITIONS, replicationFactor: 3 });
  const load = new SteadyLoad({
    client,
    topic: TOPIC,
    partitions: PARTITIONS,
    recordsPerSecond: 50,
    valueBytes: 100,
  });
  await systemClock.sleep(WARM_UP_MS);
  const calmMs = load.takeLatenciesMs();
  process.stdout.write(`calm: p50 ${percentile(calmMs, 0.5).toFixed(1)} ms, `);
  process.stdout.write(`p99 ${percentile(calmMs, 0.99).toFixed(1)} ms\n`);
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const stallsMs: number[] = [];
    for (let round = 0; round < rounds; round += 1) stallsMs.push(await longestStallMs(load, signal));
    const ascending = stallsMs.toSorted((a, b) => a - b);
    const [median, longest] = [percentile(ascending, 0.5), ascending.at(-1) ?? Number.NaN].map(Math.round);
    process.stdout.write(`${signal}: median ${median} ms, longest ${longest} ms, `);
    process.stdout.write(`target ${TARGETS_MS[signal]} ms\n`);
  }
  await load.stop();
} finally {
  await client.close().catch(() => undefined);
  await cluster.stop();
}
