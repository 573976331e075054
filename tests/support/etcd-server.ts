import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endWithUs } from "./children.ts";
import { freePorts } from "./free-ports.ts";
import { commandOn, type Machine, THIS_MACHINE } from "./machine.ts";
import { inContinuousIntegration } from "./tools.ts";

const INSTALL = "etcd is not installed: apt-get install etcd-server etcd-client";

/**
 * Whether etcd is there; in continuous integration it must be, elsewhere the caller's
 * tests are left out with a word.
 */
export function haveEtcd(): boolean {
  if (spawnSync("etcd", ["--version"], { stdio: "ignore" }).error === undefined) return true;
  if (inContinuousIntegration) throw new Error(INSTALL);
  process.stderr.write(`skipped: ${INSTALL}\n`);
  return false;
}

export interface EtcdServerOptions {
  /** Default 1. */
  readonly memberCount?: number;
  /** Kept over restarts when given, and synced; else a fresh one that `stop` removes. */
  readonly directory?: string;
  /** PEM files by which clients are served over TLS. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
  /** One for each member; absent: all run here. */
  readonly machines?: readonly Machine[];
}

interface Member {
  readonly name: string;
  readonly machine: Machine;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly healthPort: number;
}

/** A real etcd of one or more members on free ports, each a process of its own, below one directory. */
export class EtcdServer {
  readonly members: readonly EtcdMember[];
  readonly #temporaryDirectory: string | undefined;

  private constructor(temporaryDirectory: string | undefined, members: readonly EtcdMember[]) {
    this.#temporaryDirectory = temporaryDirectory;
    this.members = members;
  }

  /** Starts all members and waits until they serve. */
  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const { memberCount = 1, tls, machines = [] } = options;
    const isTemporary = options.directory === undefined;
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "ottla-etcd-")));
    const ports = await freePorts(memberCount * 3);
    const all = Array.from({ length: memberCount }, (_, i): Member => {
      const [clientPort = 0, peerPort = 0, healthPort = 0] = ports.slice(3 * i);
      const machine = machines[i] ?? THIS_MACHINE;
      return { name: `m${i}`, machine, clientPort, peerPort, healthPort };
    });
    const members = all.map((member) => new EtcdMember({ directory, isTemporary, member, all, tls }));
    const server = new EtcdServer(isTemporary ? directory : undefined, members);
    await Promise.all(members.map((member) => member.launch()));
    return server;
  }

  get endpoints(): string[] {
    return this.members.map((member) => member.endpoint);
  }

  get first(): EtcdMember {
    const [member] = this.members;
    if (member === undefined) throw new Error("etcd has no members");
    return member;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    const directory = this.#temporaryDirectory;
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }
}

interface MemberOptions {
  readonly directory: string;
  readonly isTemporary: boolean;
  readonly member: Member;
  readonly all: readonly Member[];
  readonly tls: EtcdServerOptions["tls"] | undefined;
}

/** One etcd process, which can be killed, frozen and started again on its data. */
export class EtcdMember {
  readonly clientPort: number;
  readonly endpoint: string;
  readonly #machine: Machine;
  readonly #flags: readonly string[];
  readonly #dataDirectory: string;
  readonly #restoreFlags: readonly string[];
  readonly #healthUrl: string;
  #process: ChildProcess | undefined;
  #output = "";

  constructor(options: MemberOptions) {
    const { member, all, tls } = options;
    const scheme = tls === undefined ? "http" : "https";
    const health = `http://${member.machine.host}:${member.healthPort}`;
    const peer = (of: Member): string => `http://${of.machine.host}:${of.peerPort}`;
    this.#machine = member.machine;
    this.clientPort = member.clientPort;
    this.endpoint = `${scheme}://${member.machine.host}:${member.clientPort}`;
    this.#healthUrl = `${health}/health`;
    this.#dataDirectory = join(options.directory, member.name);
    this.#restoreFlags = [
      `--name=${member.name}`,
      `--data-dir=${this.#dataDirectory}`,
      `--initial-advertise-peer-urls=${peer(member)}`,
      `--initial-cluster=${all.map((of) => `${of.name}=${peer(of)}`).join(",")}`,
    ];
    this.#flags = [
      `--name=${member.name}`,
      `--data-dir=${this.#dataDirectory}`,
      `--listen-client-urls=${this.endpoint}`,
      `--advertise-client-urls=${this.endpoint}`,
      `--listen-metrics-urls=${health}`,
      `--listen-peer-urls=${peer(member)}`,
      ...this.#restoreFlags.slice(2),
      ...(tls === undefined ? [] : [`--cert-file=${tls.certificateFile}`, `--key-file=${tls.keyFile}`]),
      ...(options.isTemporary ? ["--unsafe-no-fsync"] : []),
      "--logger=zap",
      "--log-level=warn",
    ];
  }

  /** Starts the process (again) on its data, and waits until it serves. */
  async launch(): Promise<void> {
    const { program, parameters } = commandOn(this.#machine, "etcd", this.#flags);
    const child = spawn(program, parameters, { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: Buffer): void => {
      this.#output = `${this.#output}${chunk.toString()}`.slice(-20_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    endWithUs(child);
    this.#process = child;
    for (;;) {
      const answer = await fetch(this.#healthUrl).catch(() => undefined);
      if (answer?.ok === true) return;
      if (child.exitCode !== null) throw new Error(`etcd ended before it served:\n${this.#output}`);
      await new Promise((resume) => setTimeout(resume, 20));
    }
  }

  /** Ends the process as a crash does, also when it is frozen. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Saves a snapshot, as an operator does who keeps backups. */
  saveSnapshot(file: string): void {
    run("etcdctl", [`--endpoints=${this.endpoint}`, "snapshot", "save", file]);
  }

  /** Ends the process, and starts it on what a snapshot holds instead of its data. */
  async restoreSnapshot(file: string, flags: readonly string[] = []): Promise<void> {
    await this.kill();
    await rm(this.#dataDirectory, { recursive: true, force: true });
    // etcd 3.4 has no etcdutl.
    const hasUtility = spawnSync("etcdutl", ["version"], { stdio: "ignore" }).error === undefined;
    run(hasUtility ? "etcdutl" : "etcdctl", ["snapshot", "restore", file, ...this.#restoreFlags, ...flags]);
    await this.launch();
  }

  /** Calls etcd's JSON gateway, for what `MetadataStore` does not offer: "kv/compaction", "auth/enable". */
  async control(path: string, request: Readonly<Record<string, unknown>>): Promise<unknown> {
    const body = JSON.stringify(request);
    const answer = await fetch(`${this.endpoint}/v3/${path}`, { method: "POST", body });
    if (!answer.ok) throw new Error(`etcd refused ${path}: ${await answer.text()}`);
    return answer.json();
  }
}

function run(program: string, parameters: readonly string[]): void {
  const { status, error, stderr } = spawnSync(program, parameters, {
    env: { ...process.env, ETCDCTL_API: "3" },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${program} ${parameters.join(" ")} failed: ${error ?? stderr}`);
}
