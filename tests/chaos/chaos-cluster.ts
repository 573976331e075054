import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Random, systemRandom } from "@ottla/runtime";
import { EtcdServer } from "../support/etcd-server.ts";
import { type ClusterShape, OttlaNode, type Role } from "../support/ottla-cluster.ts";
import { MachineRoom, machineFor } from "./machine-room.ts";
import { SlowSync } from "./slow-sync.ts";
import { StorageDisk } from "./storage-disk.ts";

export interface ChaosShape extends ClusterShape {
  readonly etcdMembers: number;
  /** Of the topic that is written to. */
  readonly replicationFactor: number;
}

const COUNTS: Readonly<Record<Role, keyof ClusterShape>> = {
  coordinator: "coordinators",
  "partition-storage": "storageNodes",
  "group-coordinator": "groupCoordinators",
  gateway: "gateways",
};
/** Shorter than the default of 30 s: a run waits for it whenever a follower cannot be reached and lives. */
const STORAGE_SETTINGS = { OTTLA_STORAGE_REPLICA_LAG_TIME_MAX_MS: "5000" };
export const ROLES = Object.keys(COUNTS) as readonly Role[];

interface Parts {
  readonly shape: ChaosShape;
  readonly directory: string;
  readonly room: MachineRoom | undefined;
  readonly slowSync: SlowSync | undefined;
}

/**
 * A real Ottla that is made to be broken: each process on a machine of its own (a network namespace), each
 * storage node on a disk of its own, with syncs that can be slow. What the system does not allow is left out.
 */
export class ChaosCluster {
  readonly shape: ChaosShape;
  readonly directory: string;
  readonly room: MachineRoom | undefined;
  readonly slowSync: SlowSync | undefined;
  readonly nodes: OttlaNode[] = [];
  readonly disks = new Map<string, StorageDisk>();
  #etcd: EtcdServer | undefined;

  private constructor(parts: Parts) {
    this.shape = parts.shape;
    this.directory = parts.directory;
    this.room = parts.room;
    this.slowSync = parts.slowSync;
  }

  /** Resolves when all nodes are ready. */
  static async start(shape: ChaosShape): Promise<ChaosCluster> {
    const directory = await mkdtemp(join(tmpdir(), "ottla-chaos-"));
    const room = await MachineRoom.open(systemRandom);
    const slowSync = await SlowSync.compile(directory);
    const cluster = new ChaosCluster({ shape, directory, room, slowSync });
    try {
      await cluster.#startEtcd(shape.etcdMembers);
      await mkdir(join(directory, "logs"));
      for (const role of ROLES) {
        for (let nodeId = 1; nodeId <= shape[COUNTS[role]]; nodeId += 1) await cluster.addNode(role, nodeId);
      }
      await Promise.all(cluster.nodes.map((node) => node.launch()));
      return cluster;
    } catch (thrown) {
      await cluster.stop();
      throw thrown;
    }
  }

  get etcd(): EtcdServer {
    if (this.#etcd === undefined) throw new Error("etcd was not started");
    return this.#etcd;
  }

  get logDirectory(): string {
    return join(this.directory, "logs");
  }

  /** A node that is not started yet. */
  async addNode(role: Role, nodeId: number): Promise<OttlaNode> {
    const name = `${role}-${nodeId}`;
    const machine = await machineFor(this.room, name);
    const stores = role === "partition-storage";
    const disk = stores ? await StorageDisk.make(join(this.directory, `disk-${nodeId}`)) : undefined;
    if (disk !== undefined) this.disks.set(name, disk);
    const node = await OttlaNode.make({
      role,
      nodeId,
      machine,
      directory: disk?.directory ?? this.directory,
      endpoints: this.etcd.endpoints,
      environment: stores ? { ...STORAGE_SETTINGS, ...this.slowSync?.environment(name) } : {},
      logFile: join(this.logDirectory, `${name}.log`),
    });
    this.nodes.push(node);
    return node;
  }

  of(role: Role): OttlaNode[] {
    return this.nodes.filter((node) => node.role === role);
  }

  /** The addresses of all gateways' doors. */
  addresses(door: "grpcPort" | "kafkaPort"): string[] {
    return this.of("gateway").map((gateway) => `${gateway.machine.host}:${gateway[door]}`);
  }

  /** Nodes that ended without being told to. */
  died(): string[] {
    return this.nodes.filter((node) => node.hasDied).map(({ name }) => name);
  }

  pick<T>(random: Random, candidates: readonly T[]): T {
    const picked = candidates[random.integer(candidates.length)];
    if (picked === undefined) throw new Error("there is nothing to pick from");
    return picked;
  }

  /** Asks all nodes to stop, doors first, so that no record is half-way when the storage nodes go. */
  async shutDown(): Promise<void> {
    for (const role of ["gateway", "group-coordinator", "partition-storage", "coordinator"] as const) {
      await Promise.all(this.of(role).map((node) => node.end("SIGTERM")));
    }
  }

  async stop(options: { readonly keepFiles?: boolean } = {}): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end("SIGKILL")));
    await this.#etcd?.stop();
    await this.room?.close();
    const keepFiles = options.keepFiles === true;
    await Promise.all([...this.disks.values()].map((disk) => disk.close(keepFiles)));
    if (keepFiles) return;
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  async #startEtcd(memberCount: number): Promise<void> {
    const machines = [];
    for (let i = 0; i < memberCount; i += 1) machines.push(await machineFor(this.room, etcdName(i)));
    this.#etcd = await EtcdServer.start({ memberCount, machines });
  }

  /** Names of the machines of etcd's members. */
  get etcdNames(): string[] {
    return this.etcd.members.map((_, index) => etcdName(index));
  }
}

function etcdName(index: number): string {
  return `etcd-${index + 1}`;
}
