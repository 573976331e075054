import type { SeededRandom } from "@ottla/runtime";
import type { SimulatedCluster, StorageMachine } from "./cluster.ts";
import { type DiskReplicas, directoryOf } from "./disk-replicas.ts";
import { ETCD_HOST } from "./metadata-link.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import type { SimulatedNode } from "./simulated-node.ts";
import type { Simulation } from "./simulation.ts";

export interface FaultContext {
  readonly cluster: SimulatedCluster;
  readonly simulation: Simulation;
  readonly random: SeededRandom;
  readonly disks: DiskReplicas;
  readonly metadata: MetadataRules;
  /** Undoes something later, or when the faults end. */
  readonly later: (delayMs: number, undo: () => void) => void;
}

export interface Fault {
  readonly name: string;
  /** How often beside the others. */
  readonly weight: number;
  /** Strikes; false when there was nothing to strike. */
  readonly strike: (context: FaultContext) => boolean;
}

function pick<T>(random: SeededRandom, items: readonly T[]): T | undefined {
  return items[random.integer(Math.max(1, items.length))];
}

function between(random: SeededRandom, least: number, most: number): number {
  return least + random.float() ** 2 * (most - least);
}

function upNode({ cluster, random }: FaultContext): SimulatedNode | undefined {
  // Storage nodes are what it is about: half of the time it is one of them.
  const storages = cluster.storages.map(({ node }) => node);
  const nodes = random.float() < 0.5 ? storages : cluster.nodes;
  return pick(
    random,
    nodes.filter(({ process }) => process !== undefined && !process.isPaused),
  );
}

function upMachine({ cluster, random }: FaultContext): StorageMachine | undefined {
  return pick(
    random,
    cluster.storages.filter(({ node }) => !node.isDown),
  );
}

function crashProcess(context: FaultContext): boolean {
  const { later, random } = context;
  const node = upNode(context);
  if (node === undefined) return false;
  node.crash("process");
  later(between(random, 50, 6_000), () => node.start());
  return true;
}

/** What the disks of these machines had not synced is lost in part. */
function cutPower({ later }: FaultContext, machines: readonly StorageMachine[], offMs: number): boolean {
  const up = machines.filter(({ node }) => !node.isDown);
  for (const { node } of up) {
    node.crash("power");
    later(offMs, () => node.start());
  }
  return up.length > 0;
}

function cutPowerOfAll(context: FaultContext): boolean {
  const { cluster, later, random } = context;
  const offMs = between(random, 100, 4_000);
  for (const node of [...cluster.gateways, ...cluster.coordinators, ...cluster.groupCoordinators]) {
    node.crash("power");
    later(offMs + random.float() * 500, () => node.start());
  }
  return cutPower(context, cluster.storages, offMs);
}

function pause(context: FaultContext): boolean {
  const { later, random, simulation } = context;
  const node = upNode(context);
  const process = node?.process;
  if (process === undefined) return false;
  process.pause();
  simulation.network.processPaused(process);
  later(between(random, 100, 7_000), () => process.resume());
  return true;
}

function restartCleanly(context: FaultContext): boolean {
  const { later, random } = context;
  const node = upNode(context);
  if (node === undefined || !node.isServing) return false;
  node.stop(() => later(between(random, 50, 3_000), () => node.start()));
  return true;
}

/** One after another, each when the one before serves again. */
function rollEverything({ cluster, later }: FaultContext): boolean {
  const left = [...cluster.nodes];
  const next = (): void => {
    const node = left.shift();
    if (node === undefined) return;
    if (!node.isServing) {
      later(100, next);
      return;
    }
    node.stop(() =>
      later(300, () => {
        node.start();
        const whenServing = (): void => {
          if (node.isServing || node.isDown) next();
          else later(100, whenServing);
        };
        later(100, whenServing);
      }),
    );
  };
  next();
  return true;
}

function partitionHosts({ cluster, later, random, simulation }: FaultContext): boolean {
  const { network } = simulation;
  const names = [...cluster.nodes.map(({ name }) => name), ETCD_HOST];
  const lonely = new Set(
    random.float() < 0.6 ? [names[random.integer(names.length)]] : names.filter(() => random.float() < 0.5),
  );
  const way = random.integer(4);
  const pairs: [string, string][] = [];
  for (const inside of names.filter((name) => lonely.has(name))) {
    for (const outside of names.filter((name) => !lonely.has(name))) {
      if (way !== 0) pairs.push([inside, outside]);
      if (way !== 1) pairs.push([outside, inside]);
    }
  }
  if (pairs.length === 0) return false;
  for (const [from, to] of pairs) network.block(from, to);
  later(between(random, 200, 8_000), () => {
    for (const [from, to] of pairs) network.unblock(from, to);
  });
  return true;
}

function cutFromEtcd(context: FaultContext, nodes: readonly SimulatedNode[]): boolean {
  const { later, random, simulation } = context;
  const { network } = simulation;
  for (const { name } of nodes) {
    network.block(name, ETCD_HOST);
    network.block(ETCD_HOST, name);
  }
  later(between(random, 200, 8_000), () => {
    // A quorum that was away gives every lease its whole time again.
    if (nodes.length > 1) simulation.etcd.renewLeases();
    for (const { name } of nodes) {
      network.unblock(name, ETCD_HOST);
      network.unblock(ETCD_HOST, name);
    }
  });
  return true;
}

function slowHost({ cluster, later, random, simulation }: FaultContext): boolean {
  const { slowHosts } = simulation.network;
  const node = pick(random, cluster.nodes);
  if (node === undefined || slowHosts.has(node.name)) return false;
  slowHosts.set(node.name, between(random, 5, 400));
  later(between(random, 300, 4_000), () => slowHosts.delete(node.name));
  return true;
}

function revokeLease({ random, simulation }: FaultContext): boolean {
  const id = pick(random, simulation.etcd.leaseIds());
  if (id === undefined) return false;
  simulation.etcd.endLease(id);
  return true;
}

function lagWatches(context: FaultContext): boolean {
  const { later, random } = context;
  const node = upNode(context);
  if (node === undefined) return false;
  node.metadataFaults.watchLagMs = between(random, 50, 4_000);
  later(between(random, 500, 6_000), () => {
    node.metadataFaults.watchLagMs = 0;
  });
  return true;
}

function loseAnswers(context: FaultContext): boolean {
  const { cluster, later, random } = context;
  const node = random.float() < 0.5 ? pick(random, cluster.coordinators) : upNode(context);
  if (node === undefined) return false;
  node.metadataFaults.requestLoss = random.float() * 0.3;
  node.metadataFaults.answerLoss = random.float() * 0.5;
  later(between(random, 500, 4_000), () => {
    node.metadataFaults.requestLoss = 0;
    node.metadataFaults.answerLoss = 0;
  });
  return true;
}

function loseWatches(context: FaultContext): boolean {
  const { random, simulation } = context;
  const store = upNode(context)?.store;
  if (store === undefined) return false;
  if (random.float() < 0.3) simulation.etcd.compact();
  store.loseWatches();
  return true;
}

function jumpClock(context: FaultContext): boolean {
  const { random } = context;
  const node = pick(random, context.cluster.nodes);
  node?.jumpClock((random.float() - 0.5) * 2 * 10 ** (2 + random.integer(6)));
  return node !== undefined;
}

function slowDisk(context: FaultContext): boolean {
  const { later, random } = context;
  const disk = upMachine(context)?.disk;
  if (disk === undefined) return false;
  const operation = random.float() < 0.7 ? "sync" : "any";
  const fault = disk.faults.slow({ operation }, 1, between(random, 5, 300));
  later(between(random, 300, 5_000), () => fault.remove());
  return true;
}

function hangDisk(context: FaultContext): boolean {
  const { later, random } = context;
  const disk = upMachine(context)?.disk;
  if (disk === undefined) return false;
  const stall = disk.faults.stall({ operation: random.float() < 0.5 ? "sync" : "any" });
  later(between(random, 100, 6_000), () => stall.release());
  return true;
}

function failDisk(context: FaultContext): boolean {
  const { later, random } = context;
  const disk = upMachine(context)?.disk;
  if (disk === undefined) return false;
  const operation = pick(random, ["sync", "write", "syncDirectory", "any"] as const) ?? "sync";
  const fault = disk.faults.fail({ operation, times: 1 + random.integer(3), skip: random.integer(4) });
  later(3_000, () => fault.remove());
  return true;
}

function fillDisk(context: FaultContext): boolean {
  const { later, random } = context;
  const disk = upMachine(context)?.disk;
  if (disk === undefined) return false;
  const before = disk.faults.capacityBytes;
  disk.faults.capacityBytes = random.integer(200_000);
  later(between(random, 300, 5_000), () => {
    disk.faults.capacityBytes = Math.max(before, FULL_AGAIN_BYTES);
  });
  return true;
}

/** Never the last copy of what was acknowledged. */
function loseDisk(context: FaultContext): boolean {
  const { cluster, later, random, disks } = context;
  const machine = pick(random, cluster.storages);
  if (machine === undefined || !disks.mayLose(machine.node.nodeId)) return false;
  machine.node.crash("power");
  machine.loseDisk();
  disks.lostDisk(machine.node.nodeId);
  later(between(random, 50, 4_000), () => machine.node.start());
  return true;
}

/** One partition's directory goes while its node is down; the disk is otherwise as it was (R9). */
function losePartition(context: FaultContext): boolean {
  const { cluster, later, metadata, random, disks } = context;
  const machine = pick(random, cluster.storages);
  const [name] = pick(random, [...metadata.partitions()]) ?? [];
  if (machine === undefined || name === undefined || !disks.mayLose(machine.node.nodeId, name)) return false;
  const directory = directoryOf(name);
  if (machine.disk.inspect(directory, "durable").length === 0) return false;
  machine.node.crash("power");
  disks.emptied(machine.node.nodeId, name);
  machine.disk.loseDirectory(directory);
  later(between(random, 50, 4_000), () => machine.node.start());
  return true;
}

function flipBit(context: FaultContext): boolean {
  const { metadata, random, disks } = context;
  const machine = pick(random, context.cluster.storages);
  const [name] = pick(random, [...metadata.partitions()]) ?? [];
  if (machine === undefined || name === undefined || !disks.mayLose(machine.node.nodeId, name)) return false;
  const place = pick(random, disks.batchesAtRest(machine.node.nodeId, name));
  if (place === undefined) return false;
  disks.damaged(machine.node.nodeId, name);
  const position = place.position + random.integer(place.sizeBytes);
  machine.disk.flipBit(`${directoryOf(name)}/${place.file}`, { position });
  return true;
}

const FULL_AGAIN_BYTES = 2 ** 40;

/** Everything that may go wrong, whatever the replication factor. */
export const FAULTS: readonly Fault[] = [
  { name: "process killed", weight: 4, strike: crashProcess },
  {
    name: "power cut of one",
    weight: 3,
    strike: (context) => {
      const { cluster, random } = context;
      const machine = pick(random, cluster.storages);
      return machine !== undefined && cutPower(context, [machine], between(random, 50, 5_000));
    },
  },
  { name: "power cut of all", weight: 0.5, strike: cutPowerOfAll },
  { name: "process stopped", weight: 2, strike: pause },
  { name: "clean restart", weight: 2, strike: restartCleanly },
  { name: "rolling restart", weight: 0.2, strike: rollEverything },
  { name: "network partition", weight: 3, strike: partitionHosts },
  {
    name: "connections broken",
    weight: 2,
    strike: ({ random, simulation }) => simulation.network.breakConnections(random.float()) > 0,
  },
  { name: "slow network", weight: 2, strike: slowHost },
  { name: "etcd away", weight: 1, strike: (context) => cutFromEtcd(context, context.cluster.nodes) },
  {
    name: "cut off from etcd",
    weight: 2,
    strike: (context) =>
      cutFromEtcd(
        context,
        [upNode(context)].filter((node) => node !== undefined),
      ),
  },
  { name: "lease revoked early", weight: 2, strike: revokeLease },
  { name: "watches lag", weight: 2, strike: lagWatches },
  { name: "watches lost", weight: 1, strike: loseWatches },
  { name: "metadata answers lost", weight: 2, strike: loseAnswers },
  { name: "clock jump", weight: 1, strike: jumpClock },
  { name: "slow disk", weight: 2, strike: slowDisk },
  { name: "disk hangs", weight: 1, strike: hangDisk },
  { name: "disk fails", weight: 1, strike: failDisk },
  { name: "disk full", weight: 1, strike: fillDisk },
  { name: "disk lost", weight: 2, strike: loseDisk },
  { name: "partition lost", weight: 1, strike: losePartition },
  { name: "bit flipped", weight: 1, strike: flipBit },
];
