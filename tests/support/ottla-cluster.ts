import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endWithUs } from "./children.ts";
import { EtcdServer } from "./etcd-server.ts";
import { freePorts } from "./free-ports.ts";
import { commandOn, type Machine, THIS_MACHINE } from "./machine.ts";
import { ottlaCommand } from "./ottla-server.ts";

export const LEASE_TTL_MS = 3_000;
const ANSWER_TIMEOUT_MS = 5_000;
export const CLUSTER_SECRET = "a secret of the nodes under test";

export type Role = "coordinator" | "partition-storage" | "group-coordinator" | "gateway";

export interface ClusterShape {
  readonly coordinators: number;
  readonly storageNodes: number;
  readonly groupCoordinators: number;
  readonly gateways: number;
}

/** A real Ottla of many processes over a real etcd. */
export class OttlaCluster {
  readonly etcd: EtcdServer;
  readonly nodes: OttlaNode[] = [];
  readonly directory: string;
  readonly #flags: readonly string[];
  readonly #command: string;

  private constructor(etcd: EtcdServer, directory: string, flags: readonly string[], command: string) {
    this.etcd = etcd;
    this.directory = directory;
    this.#flags = flags;
    this.#command = command;
  }

  /** Resolves when all nodes are ready. `flags` and `command` are for all of them. */
  static async start(
    shape: ClusterShape,
    flags: readonly string[] = [],
    command = ottlaCommand,
  ): Promise<OttlaCluster> {
    const directory = await mkdtemp(join(tmpdir(), "ottla-cluster-"));
    const cluster = new OttlaCluster(await EtcdServer.start(), directory, flags, command);
    const add = async (role: Role, count: number): Promise<void> => {
      for (let nodeId = 1; nodeId <= count; nodeId += 1) await cluster.#make(role);
    };
    await add("coordinator", shape.coordinators);
    await add("partition-storage", shape.storageNodes);
    await add("group-coordinator", shape.groupCoordinators);
    await add("gateway", shape.gateways);
    try {
      await Promise.all(cluster.nodes.map((node) => node.launch()));
    } catch (thrown) {
      await cluster.stop();
      throw thrown;
    }
    return cluster;
  }

  /** One more, with the next node id; resolves when it is ready. */
  async addNode(role: Role): Promise<OttlaNode> {
    const node = await this.#make(role);
    await node.launch();
    return node;
  }

  node(role: Role, nodeId: number): OttlaNode {
    const found = this.nodes.find((node) => node.role === role && node.nodeId === nodeId);
    if (found === undefined) throw new Error(`there is no ${role} ${nodeId}`);
    return found;
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end("SIGKILL")));
    await this.etcd.stop();
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  async #make(role: Role): Promise<OttlaNode> {
    const nodeId = this.nodes.filter((node) => node.role === role).length + 1;
    const node = await OttlaNode.make({
      role,
      nodeId,
      directory: this.directory,
      endpoints: this.etcd.endpoints,
      flags: this.#flags,
      command: this.#command,
    });
    this.nodes.push(node);
    return node;
  }
}

export interface OttlaNodeOptions {
  readonly role: Role;
  readonly nodeId: number;
  /** Holds a directory for each storage node. */
  readonly directory: string;
  readonly endpoints: readonly string[];
  /** `{kafka-port}` in them stands for the node's own. */
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Another `ottla` than that of the checkout. */
  readonly command?: string;
  /** Default: this one. */
  readonly machine?: Machine;
  /** Keeps all that the node says, over its restarts. */
  readonly logFile?: string;
}

/** One `ottla serve --target=…`, which can be ended in any way and started again on its ports and data. */
export class OttlaNode {
  readonly role: Role;
  readonly nodeId: number;
  readonly grpcPort: number;
  readonly kafkaPort: number;
  readonly httpPort: number;
  readonly internalPort: number;
  readonly machine: Machine;
  /** In force from the next start on. */
  readonly environment: Record<string, string>;
  /** The `ottla` that it starts next. */
  command: string;
  readonly #options: OttlaNodeOptions;
  #process: ChildProcess | undefined;
  /** It runs and nobody has asked it to end. */
  #isWanted = false;
  #output = "";

  private constructor(options: OttlaNodeOptions, ports: readonly number[]) {
    this.#options = options;
    this.command = options.command ?? ottlaCommand;
    this.role = options.role;
    this.nodeId = options.nodeId;
    this.machine = options.machine ?? THIS_MACHINE;
    this.environment = { ...options.environment };
    [this.grpcPort = 0, this.kafkaPort = 0, this.httpPort = 0, this.internalPort = 0] = ports;
  }

  static async make(options: OttlaNodeOptions): Promise<OttlaNode> {
    return new OttlaNode(options, await freePorts(4));
  }

  get name(): string {
    return `${this.role}-${this.nodeId}`;
  }

  get output(): string {
    return this.#output;
  }

  /** Undefined before the first start. */
  get processId(): number | undefined {
    return this.#process?.pid;
  }

  get dataDirectory(): string {
    return join(this.#options.directory, this.name);
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !hasEnded(this.#process);
  }

  /** It ended by itself. */
  get hasDied(): boolean {
    return this.#isWanted && !this.isRunning;
  }

  /** Starts the process (again) and waits until it is ready. */
  async launch(): Promise<void> {
    const child = this.spawn();
    while (!hasEnded(child)) {
      if (await this.isReady().catch(() => false)) return;
      await new Promise((resume) => setTimeout(resume, 20));
    }
    throw new Error(`${this.role} ${this.nodeId} ended before it was ready:\n${this.#output}`);
  }

  /** Starts the process (again) and does not wait for it. */
  spawn(): ChildProcess {
    const { role, nodeId, endpoints, flags = [], logFile } = this.#options;
    const ports = [
      `--listen=${this.machine.host}`,
      `--grpc-port=${this.grpcPort}`,
      `--kafka-port=${this.kafkaPort}`,
      `--http-port=${this.httpPort}`,
      `--internal-port=${this.internalPort}`,
    ];
    const dataDir = `--data-dir=${this.dataDirectory}`;
    const own = flags.map((flag) => flag.replace("{kafka-port}", String(this.kafkaPort)));
    const serve = ["serve", `--target=${role}`, `--node-id=${nodeId}`, ...ports, dataDir, ...own];
    const { program, parameters } = commandOn(this.machine, this.command, serve);
    const child = spawn(program, parameters, {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        OTTLA_ETCD_ENDPOINTS: endpoints.join(","),
        OTTLA_CLUSTER_SECRET: CLUSTER_SECRET,
        OTTLA_CLUSTER_LEASE_TTL_MS: String(LEASE_TTL_MS),
        ...this.environment,
      },
    });
    if (logFile !== undefined) {
      const file = createWriteStream(logFile, { flags: "a" });
      child.stdout.pipe(file, { end: false });
      child.stderr.pipe(file, { end: false });
      child.once("close", () => file.end());
    }
    const keep = (chunk: Buffer): void => {
      this.#output = `${this.#output}${chunk.toString()}`.slice(-50_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    endWithUs(child);
    this.#process = child;
    this.#isWanted = true;
    return child;
  }

  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Ends the process and resolves with its exit code when it has ended. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    const child = this.#process;
    this.#isWanted = false;
    if (child === undefined || hasEnded(child)) return child?.exitCode ?? null;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  /** Resolves with the exit code when the process that runs has ended, by itself or not. */
  async ended(): Promise<number | null> {
    const child = this.#process;
    if (child !== undefined && !hasEnded(child)) await once(child, "close");
    return child?.exitCode ?? null;
  }

  async metric(name: string): Promise<number> {
    const text = await (await this.#get("metrics")).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  }

  async isReady(): Promise<boolean> {
    return (await this.#get("readyz")).ok;
  }

  /** Why it is not ready. */
  async readyPage(): Promise<string> {
    return (await this.#get("readyz")).text();
  }

  #get(page: string): Promise<Response> {
    const url = `http://${this.machine.host}:${this.httpPort}/${page}`;
    return fetch(url, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
