/**
 * 3,000 partitions with three replicas each on 3 storage nodes: how long their creation takes,
 * what idle storage nodes use of a core, and how long it takes until all have leaders again when
 * a node is killed. Run: `sh scripts/node.sh bench/many-partitions.ts [PARTITIONS]`. Needs etcd.
 */
import { readFile } from "node:fs/promises";
import { Ottla, type TopicDescription } from "@ottla/client";
import { systemClock } from "@ottla/runtime";
import { LEASE_TTL_MS, OttlaCluster, type OttlaNode } from "@ottla/tests/support/ottla-cluster";

const TARGETS = { creationMs: 30_000, failoverMs: LEASE_TTL_MS + 5_000, idlePercent: 5 };
const TOPIC = "many";
const IDLE_MS = 20_000;
const SETTLE_MS = 10_000;
/** Of the kernel's accounts, on every Linux that there is. */
const TICKS_PER_SECOND = 100;

const partitions = Number(process.argv[2] ?? "3000");
const cluster = await OttlaCluster.start({
  coordinators: 2,
  storageNodes: 3,
  groupCoordinators: 1,
  gateways: 1,
});
const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
const client = new Ottla({ address, callTimeoutMs: 120_000 });

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function describe(): Promise<TopicDescription> {
  const [topic] = await client.admin().describeTopics([TOPIC], { includeOffsets: true });
  if (topic === undefined) throw new Error("the topic is gone");
  return topic;
}

async function until(isTrue: (topic: TopicDescription) => boolean): Promise<number> {
  const startMs = systemClock.monotonic();
  while (!isTrue(await describe())) await systemClock.sleep(100);
  return systemClock.monotonic() - startMs;
}

/** Every leader has opened its log and answers. */
function isServed(topic: TopicDescription): boolean {
  return topic.partitions.length === partitions && topic.partitions.every(({ offsets }) => offsets);
}

function isInSync(topic: TopicDescription): boolean {
  return topic.partitions.every(({ replicas, inSyncReplicas }) => inSyncReplicas.length === replicas.length);
}

async function processorMs({ processId }: OttlaNode): Promise<number> {
  const stat = await readFile(`/proc/${processId}/stat`, "utf8");
  // Behind the name, which may hold spaces: utime and stime are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1_000;
}

async function residentMegabytes({ processId }: OttlaNode): Promise<number> {
  const status = await readFile(`/proc/${processId}/status`, "utf8");
  return Math.round((Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1_024) / 1e6);
}

async function sayIdleUse(): Promise<void> {
  const before = await Promise.all(cluster.nodes.map(processorMs));
  await systemClock.sleep(IDLE_MS);
  for (const [index, node] of cluster.nodes.entries()) {
    const usedMs = (await processorMs(node)) - (before[index] ?? 0);
    const percent = ((usedMs / IDLE_MS) * 100).toFixed(1);
    say(`idle: ${node.name} uses ${percent} % of a core, ${await residentMegabytes(node)} MB resident`);
  }
  say(`idle target: ${TARGETS.idlePercent} % for a storage node`);
}

try {
  const startMs = systemClock.monotonic();
  // The answer may come before all partitions are served, and say so: then the rest is waited for.
  await client
    .admin()
    .createTopic({ name: TOPIC, partitions, replicationFactor: 3 })
    .catch((thrown: unknown) => say(String(thrown)));
  await until(isServed);
  const creationMs = Math.round(systemClock.monotonic() - startMs);
  say(`creation of ${partitions} partitions: ${creationMs} ms, target ${TARGETS.creationMs} ms`);
  say(`all in sync: ${Math.round(await until(isInSync))} ms later`);
  await systemClock.sleep(SETTLE_MS);
  await sayIdleUse();
  const victim = cluster.node("partition-storage", 2);
  const led = (await describe()).partitions.filter(({ leader }) => leader === victim.nodeId).length;
  await victim.end("SIGKILL");
  const failoverMs = await until(({ partitions: all }) =>
    all.every(({ leader }) => leader >= 0 && leader !== victim.nodeId),
  );
  say(`failover of ${led} partitions: ${Math.round(failoverMs)} ms, target ${TARGETS.failoverMs} ms`);
  const restartMs = systemClock.monotonic();
  await victim.launch();
  say(`its start: ${Math.round(systemClock.monotonic() - restartMs)} ms until ready`);
  say(`all in sync: ${Math.round(await until(isInSync))} ms later`);
} finally {
  await client.close().catch(() => undefined);
  await cluster.stop();
}
