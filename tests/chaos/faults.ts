import { rm } from "node:fs/promises";
import type { Random } from "@ottla/runtime";
import { LEASE_TTL_MS, type OttlaNode, type Role } from "../support/ottla-cluster.ts";
import { type ChaosCluster, ROLES } from "./chaos-cluster.ts";

/** A fault that has struck. */
export interface Strike {
  /** What was hit. */
  readonly what: string;
  /** Ends it, and brings back what it has ended. */
  heal(): Promise<void>;
  /** The gateway whose own clients wait until the fault is over: they have no other address. */
  readonly gateway?: number;
}

export interface Fault {
  readonly kind: string;
  /**
   * With several replicas, clients go on while it lasts: all of them, or all but those of
   * a gateway that is hit.
   */
  readonly isSurvived: boolean;
  /**
   * No other fault may strike at the same time: records could be lost, or the fault
   * cannot be told from the other.
   */
  readonly isAlone: boolean;
  /** How long it lasts at the least. */
  readonly holdMs: number;
  /** Why this system does not allow it; undefined where it does. */
  missing(cluster: ChaosCluster): string | undefined;
  strike(cluster: ChaosCluster, random: Random): Promise<Strike>;
}

const PAST_LEASE_MS = LEASE_TTL_MS + 2_000;

function possible(): undefined {
  return undefined;
}

function needsNamespaces({ room }: ChaosCluster): string | undefined {
  return room === undefined
    ? "network namespaces (iproute2, util-linux and the right to make them)"
    : undefined;
}

function needsMounts({ disks }: ChaosCluster): string | undefined {
  return [...disks.values()].every(({ isOwn }) => isOwn) ? undefined : "the right to mount a tmpfs";
}

function needsCompiler({ slowSync }: ChaosCluster): string | undefined {
  return slowSync === undefined ? "gcc" : undefined;
}

function needsReplicas({ shape }: ChaosCluster): string | undefined {
  return shape.replicationFactor > 1 ? undefined : "several replicas of each partition";
}

function gatewayOf(node: OttlaNode): { gateway?: number } {
  return node.role === "gateway" ? { gateway: node.nodeId } : {};
}

/** Another fault at the same time may have hit the same process, and brought it back. */
async function relaunch(node: OttlaNode): Promise<void> {
  if (!node.isRunning) await node.launch();
}

function killOne(role: Role): Fault {
  return {
    kind: `kill a ${role}`,
    isSurvived: true,
    isAlone: false,
    holdMs: 1_000,
    missing: possible,
    async strike(cluster, random) {
      const node = cluster.pick(random, cluster.of(role));
      await node.end("SIGKILL");
      return { what: node.name, heal: () => relaunch(node), ...gatewayOf(node) };
    },
  };
}

function killAll(kind: string, roles: readonly Role[]): Fault {
  return {
    kind,
    isSurvived: false,
    isAlone: true,
    holdMs: 500,
    missing: possible,
    async strike(cluster) {
      const nodes = roles.flatMap((role) => cluster.of(role));
      await Promise.all(nodes.map((node) => node.end("SIGKILL")));
      return {
        what: `${nodes.length} processes at once`,
        heal: async () => {
          await Promise.all(nodes.map(relaunch));
        },
      };
    },
  };
}

function freeze(role: Role): Fault {
  return {
    kind: `freeze a ${role} past its lease`,
    isSurvived: true,
    isAlone: false,
    holdMs: PAST_LEASE_MS,
    missing: possible,
    async strike(cluster, random) {
      const node = cluster.pick(random, cluster.of(role));
      node.freeze();
      return { what: node.name, heal: async () => node.resume(), ...gatewayOf(node) };
    },
  };
}

interface Cut {
  readonly what: string;
  /** What each of these sends to each of those is swallowed. */
  readonly ways: readonly (readonly [readonly string[], readonly string[]])[];
  readonly gateway?: number;
}

function partition(
  kind: string,
  isSurvived: boolean,
  choose: (cluster: ChaosCluster, random: Random) => Cut,
): Fault {
  return {
    kind,
    isSurvived,
    isAlone: false,
    holdMs: PAST_LEASE_MS,
    missing: needsNamespaces,
    async strike(cluster, random) {
      const { ways, what, ...rest } = choose(cluster, random);
      const ends: ((() => Promise<void>) | undefined)[] = [];
      for (const [from, to] of ways) ends.push(await cluster.room?.swallow(from, to));
      return {
        what,
        heal: async () => {
          for (const end of ends) await end?.();
        },
        ...rest,
      };
    },
  };
}

function bothWays(some: readonly string[], others: readonly string[]): Cut["ways"] {
  return [
    [some, others],
    [others, some],
  ];
}

function everyoneBut(cluster: ChaosCluster, name: string): string[] {
  return [...cluster.nodes.map((node) => node.name), ...cluster.etcdNames].filter((other) => other !== name);
}

function isolate(role: Role): Fault {
  return partition(`cut a ${role} off from all`, true, (cluster, random) => {
    const node = cluster.pick(random, cluster.of(role));
    const ways = bothWays([node.name], everyoneBut(cluster, node.name));
    return { what: node.name, ways, ...gatewayOf(node) };
  });
}

const cutFromControl = partition(
  "cut a storage node off from coordinators and etcd",
  true,
  (cluster, random) => {
    const { name } = cluster.pick(random, cluster.of("partition-storage"));
    const control = [...cluster.of("coordinator").map((node) => node.name), ...cluster.etcdNames];
    return { what: name, ways: bothWays([name], control) };
  },
);

const cutOneWay = partition("swallow what a storage node sends", true, (cluster, random) => {
  const { name } = cluster.pick(random, cluster.of("partition-storage"));
  return { what: name, ways: [[[name], everyoneBut(cluster, name)]] };
});

const cutTwoReplicas = partition("cut two storage nodes off from one another", true, (cluster, random) => {
  const names = cluster.of("partition-storage").map(({ name }) => name);
  const left = random.integer(names.length);
  const [one = "", other = ""] = names.filter((_, index) => names.length < 3 || index !== left);
  return { what: `${one} and ${other}`, ways: bothWays([one], [other]) };
});

// A gateway does not pass on through another: what this node leads waits for the end.
const cutGatewayFromStorage = partition("cut a gateway off from a storage node", false, (cluster, random) => {
  const gateway = cluster.pick(random, cluster.of("gateway"));
  const { name } = cluster.pick(random, cluster.of("partition-storage"));
  return { what: `${gateway.name} and ${name}`, ways: bothWays([gateway.name], [name]) };
});

const fillDisk: Fault = {
  kind: "fill a storage node's disk",
  isSurvived: false,
  isAlone: true,
  holdMs: 4_000,
  missing: needsMounts,
  async strike(cluster, random) {
    const { name } = cluster.pick(random, cluster.of("partition-storage"));
    const disk = cluster.disks.get(name);
    await disk?.fill();
    return { what: name, heal: async () => disk?.empty() };
  },
};

const loseDirectory: Fault = {
  kind: "lose a storage node's data directory",
  isSurvived: true,
  isAlone: true,
  holdMs: 1_000,
  missing: needsReplicas,
  async strike(cluster, random) {
    const node = cluster.pick(random, cluster.of("partition-storage"));
    await node.end("SIGKILL");
    await rm(node.dataDirectory, { recursive: true, force: true });
    return { what: node.name, heal: () => relaunch(node) };
  },
};

const slowSyncs: Fault = {
  kind: "slow down a storage node's syncs",
  isSurvived: true,
  isAlone: false,
  holdMs: PAST_LEASE_MS,
  missing: needsCompiler,
  async strike(cluster, random) {
    const { name } = cluster.pick(random, cluster.of("partition-storage"));
    await cluster.slowSync?.on(name);
    return { what: name, heal: async () => cluster.slowSync?.off(name) };
  },
};

function killEtcd(kind: string, count: (members: number) => number, holdMs: number): Fault {
  return {
    kind,
    isSurvived: true,
    isAlone: true,
    holdMs,
    missing: possible,
    async strike({ etcd: { members } }) {
      const killed = members.slice(0, count(members.length));
      await Promise.all(killed.map((member) => member.kill()));
      return {
        what: `${killed.length} of ${members.length} members`,
        heal: async () => {
          await Promise.all(killed.map((member) => member.launch()));
        },
      };
    },
  };
}

const rollingRestart: Fault = {
  kind: "restart everything, one after another",
  isSurvived: true,
  isAlone: true,
  holdMs: 0,
  missing: possible,
  async strike(cluster) {
    for (const role of ROLES) {
      for (const node of cluster.of(role)) {
        const code = await node.end("SIGTERM");
        if (code !== 0) throw new Error(`${node.name} ended with ${code} when it was asked to stop`);
        await node.launch();
      }
    }
    return { what: `${cluster.nodes.length} processes`, heal: async () => undefined };
  },
};

export const FAULTS: readonly Fault[] = [
  killOne("partition-storage"),
  killOne("coordinator"),
  killOne("group-coordinator"),
  killOne("gateway"),
  killAll("kill all storage nodes", ["partition-storage"]),
  killAll("kill everything", ROLES),
  freeze("partition-storage"),
  freeze("coordinator"),
  freeze("group-coordinator"),
  freeze("gateway"),
  isolate("partition-storage"),
  isolate("coordinator"),
  isolate("group-coordinator"),
  cutFromControl,
  cutOneWay,
  cutTwoReplicas,
  cutGatewayFromStorage,
  fillDisk,
  loseDirectory,
  slowSyncs,
  killEtcd("restart etcd", (members) => members, 500),
  killEtcd("take etcd's quorum", (members) => Math.floor(members / 2) + 1, PAST_LEASE_MS),
  rollingRestart,
];
