import { GROUPS_TOPIC } from "@ottla/metadata";
import type { Fault, FaultContext } from "./faults.ts";
import { ETCD_HOST } from "./metadata-link.ts";
import type { SimulatedNode } from "./simulated-node.ts";

function up({ cluster, random }: FaultContext): SimulatedNode | undefined {
  const nodes = cluster.groupCoordinators.filter(({ process }) => process !== undefined && !process.isPaused);
  return nodes[random.integer(Math.max(1, nodes.length))];
}

function between(random: FaultContext["random"], least: number, most: number): number {
  return least + random.float() ** 2 * (most - least);
}

function kill(context: FaultContext): boolean {
  const { later, random } = context;
  const node = up(context);
  if (node === undefined) return false;
  node.crash(random.float() < 0.5 ? "process" : "power");
  later(between(random, 20, 5_000), () => node.start());
  return true;
}

/** Longer than its lease, often: it goes on as the owner that it was. */
function stop(context: FaultContext): boolean {
  const { later, random, simulation } = context;
  const process = up(context)?.process;
  if (process === undefined) return false;
  process.pause();
  simulation.network.processPaused(process);
  later(between(random, 100, 9_000), () => process.resume());
  return true;
}

function restart(context: FaultContext): boolean {
  const { later, random } = context;
  const node = up(context);
  if (node === undefined || !node.isServing) return false;
  node.stop(() => later(between(random, 20, 2_000), () => node.start()));
  return true;
}

function cutOff(context: FaultContext, hosts: readonly string[]): boolean {
  const { later, random, simulation } = context;
  const { network } = simulation;
  const node = up(context);
  if (node === undefined || hosts.length === 0) return false;
  const way = random.integer(3);
  for (const host of hosts) {
    if (way !== 0) network.block(node.name, host);
    if (way !== 1) network.block(host, node.name);
  }
  later(between(random, 200, 9_000), () => {
    for (const host of hosts) {
      if (way !== 0) network.unblock(node.name, host);
      if (way !== 1) network.unblock(host, node.name);
    }
  });
  return true;
}

/** Those that lead partitions of the groups' topic. */
function leadersOfLog({ metadata }: FaultContext): string[] {
  const leaders = new Set<string>();
  for (const [name, { leader }] of metadata.partitions()) {
    const topic = metadata.topicName(name.slice(0, name.lastIndexOf("-")));
    if (topic === GROUPS_TOPIC && leader >= 0) leaders.add(`storage-${leader}`);
  }
  return [...leaders];
}

/** The coordinator takes it for gone, and it works on. */
function revokeLease(context: FaultContext): boolean {
  const { cluster, simulation } = context;
  const { keys } = simulation.etcd;
  const node = up(context);
  if (node === undefined) return false;
  const leaseId = keys.get(cluster.keys.node("group-coordinator", node.nodeId))?.leaseId;
  if (leaseId === undefined) return false;
  simulation.etcd.endLease(leaseId);
  return true;
}

/** Members and gateways go on asking an owner that goes on serving: none of them hears that it is over. */
function cutAllOffFromEtcd(context: FaultContext, members: readonly SimulatedNode[]): boolean {
  const { cluster, later, random, simulation } = context;
  const { network } = simulation;
  const owner = up(context);
  if (owner === undefined) return false;
  const askers = [...cluster.gateways, ...members].filter(() => random.float() < 0.5);
  const hosts = [owner, ...askers].map(({ name }) => name);
  for (const host of hosts) {
    network.block(host, ETCD_HOST);
    network.block(ETCD_HOST, host);
  }
  later(between(random, 2_000, 9_000), () => {
    for (const host of hosts) {
      network.unblock(host, ETCD_HOST);
      network.unblock(ETCD_HOST, host);
    }
  });
  return true;
}

/** Of owners, who serve on, and of those who ask on. */
function lagWatches(context: FaultContext, members: readonly SimulatedNode[]): boolean {
  const { cluster, later, random } = context;
  const askers = [...cluster.gateways, ...members];
  const nodes = random.float() < 0.5 ? [up(context)] : [up(context), ...askers];
  const lagMs = between(random, 50, 4_000);
  for (const node of nodes) if (node !== undefined) node.metadataFaults.watchLagMs = lagMs;
  later(between(random, 500, 6_000), () => {
    for (const node of nodes) if (node !== undefined) node.metadataFaults.watchLagMs = 0;
  });
  return true;
}

/** Another owner takes over at once, while nobody who asks the former one, nor itself, hears of that. */
function replaceUnheard(context: FaultContext, members: readonly SimulatedNode[]): boolean {
  const { cluster, later, random } = context;
  const nodes = [...cluster.groupCoordinators, ...cluster.gateways, ...members];
  if (!revokeLease(context)) return false;
  // The one that takes over hears of it, sooner or later, as well.
  for (const node of nodes) node.metadataFaults.watchLagMs = between(random, 200, 3_000);
  later(between(random, 1_000, 4_000), () => {
    for (const node of nodes) node.metadataFaults.watchLagMs = 0;
  });
  return true;
}

/** Calls under way are done, perhaps, and not answered. */
function breakConnections(context: FaultContext): boolean {
  const { cluster, random, simulation } = context;
  const hosts = cluster.groupCoordinators.map(({ name }) => name);
  return simulation.network.breakConnections(0.3 + random.float() * 0.7, hosts) > 0;
}

/** What may go wrong with groups, beside all that goes wrong with the nodes of the cluster. */
export function groupFaults(members: () => readonly SimulatedNode[]): readonly Fault[] {
  return [
    { name: "group owner killed", weight: 3, strike: kill },
    { name: "group owner stopped", weight: 3, strike: stop },
    { name: "group owner restarted", weight: 1, strike: restart },
    { name: "group owner cut off from etcd", weight: 2, strike: (context) => cutOff(context, [ETCD_HOST]) },
    {
      name: "group owner and members cut off from etcd",
      weight: 3,
      strike: (context) => cutAllOffFromEtcd(context, members()),
    },
    {
      name: "group owner replaced unheard",
      weight: 3,
      strike: (context) => replaceUnheard(context, members()),
    },
    {
      name: "group owner cut off from its log",
      weight: 2,
      strike: (context) => cutOff(context, leadersOfLog(context)),
    },
    { name: "group owner's lease revoked", weight: 2, strike: revokeLease },
    { name: "group owner's watches lag", weight: 2, strike: (context) => lagWatches(context, members()) },
    { name: "group owners' connections broken", weight: 2, strike: breakConnections },
  ];
}
