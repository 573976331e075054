/**
 * What each role takes of memory and CPU, idle and under a stated load: the figures that the chart's requests
 * and limits follow. A cluster as the chart's default, with fewer standbys, of processes over etcd; and one
 * process of all roles. Run against the bundle, as pods do: `make bundle`, then
 * `TESTED_OTTLA=$PWD/dist/bundle/bin/ottla sh scripts/node.sh bench/pods.ts [MB_PER_SECOND] [SECONDS]`.
 */
import { readFile } from "node:fs/promises";
import { Ottla } from "@ottla/client";
import { systemClock } from "@ottla/runtime";
import { OttlaCluster } from "@ottla/tests/support/ottla-cluster";
import { OttlaServer } from "@ottla/tests/support/ottla-server";

const [megabytes = "10", seconds = "20"] = process.argv.slice(2);
const LOAD_MEGABYTES = Number(megabytes);
const LOAD_MS = 1_000 * Number(seconds);
const IDLE_MS = 10_000;
const VALUE_BYTES = 1_000;
const PARTITIONS = 12;
const TICK_MS = 10;
/** Linux counts a process's CPU time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

interface Watched {
  readonly name: string;
  readonly processId: number;
}

interface Taken {
  readonly cpuMs: number;
  readonly residentMegabytes: number;
  readonly peakMegabytes: number;
}

async function look(processId: number): Promise<Taken> {
  const stat = await readFile(`/proc/${processId}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const status = await readFile(`/proc/${processId}/status`, "utf8");
  const kibibytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return {
    cpuMs: (ticks * 1_000) / TICKS_PER_SECOND,
    residentMegabytes: Math.round(kibibytes("VmRSS") / 1_024),
    peakMegabytes: Math.round(kibibytes("VmHWM") / 1_024),
  };
}

/** Watches the processes while the work goes on, and says what each took. */
async function measure(what: string, watched: readonly Watched[], work: () => Promise<void>): Promise<void> {
  const before = await Promise.all(watched.map(({ processId }) => look(processId)));
  const startMs = systemClock.monotonic();
  await work();
  const wallMs = systemClock.monotonic() - startMs;
  process.stdout.write(`${what}\n`);
  for (const [index, { name, processId }] of watched.entries()) {
    const { cpuMs, residentMegabytes, peakMegabytes } = await look(processId);
    const millicores = Math.round((1_000 * (cpuMs - (before[index]?.cpuMs ?? 0))) / wallMs);
    process.stdout.write(
      `  ${name}: ${millicores}m, ${residentMegabytes} Mi resident, ${peakMegabytes} Mi at most\n`,
    );
  }
}

/** One producer at a steady pace, and a group that reads along. */
async function load(address: string): Promise<void> {
  const ottla = new Ottla({ address });
  await ottla.admin().createTopic({ name: "load", partitions: PARTITIONS });
  const group = ottla.consumer({ group: "readers", topics: ["load"] });
  const reading = group.run(() => undefined);
  const producer = ottla.producer();
  const value = new Uint8Array(VALUE_BYTES).fill(120);
  const perMs = (LOAD_MEGABYTES * 1_000_000) / VALUE_BYTES / 1_000;
  const startMs = systemClock.monotonic();
  let sent = 0;
  for (let nowMs = 0; nowMs < LOAD_MS; nowMs = systemClock.monotonic() - startMs) {
    for (; sent < nowMs * perMs; sent += 1)
      if (!producer.post({ topic: "load", value })) await producer.ready();
    await systemClock.sleep(TICK_MS);
  }
  await producer.flush();
  await group.close();
  await reading;
  await ottla.close();
}

const idle = (): Promise<void> => systemClock.sleep(IDLE_MS);
const records = `${LOAD_MEGABYTES} MB/s in records of ${VALUE_BYTES} bytes`;
const underLoad = `${records}, ${PARTITIONS} partitions, read by a group`;

const cluster = await OttlaCluster.start({
  coordinators: 2,
  storageNodes: 3,
  groupCoordinators: 1,
  gateways: 1,
});
try {
  const watched = cluster.nodes.flatMap(({ name, processId }) =>
    processId === undefined ? [] : [{ name, processId }],
  );
  await measure("a cluster, idle", watched, idle);
  const address = `127.0.0.1:${cluster.node("gateway", 1).grpcPort}`;
  await measure(`a cluster, ${underLoad}`, watched, () => load(address));
} finally {
  await cluster.stop();
}

const server = await OttlaServer.start();
try {
  const watched = [{ name: "standalone", processId: server.processId }];
  await measure("one process, idle", watched, idle);
  await measure(`one process, ${underLoad}`, watched, () => load(`127.0.0.1:${server.grpcPort}`));
} finally {
  await server.stop();
}
process.exit(0);
