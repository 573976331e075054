import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inContinuousIntegration } from "./tools.ts";

const INSTALL = "etcd is not installed: apt-get install etcd-server";

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

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

/**
 * A real etcd of one or more members on free ports, each a process of its own, below one temporary directory.
 */
export class EtcdServer {
  readonly members: readonly EtcdMember[];
  readonly #directory: string;

  private constructor(directory: string, members: readonly EtcdMember[]) {
    this.#directory = directory;
    this.members = members;
  }

  /** Starts all members and waits until they serve. */
  static async start(memberCount = 1): Promise<EtcdServer> {
    const directory = await mkdtemp(join(tmpdir(), "ottla-etcd-"));
    const ports = await freePorts(memberCount * 2);
    const all = Array.from({ length: memberCount }, (_, i): Member => {
      return { name: `m${i}`, clientPort: ports[2 * i] ?? 0, peerPort: ports[2 * i + 1] ?? 0 };
    });
    const server = new EtcdServer(
      directory,
      all.map((member) => new EtcdMember(directory, member, all)),
    );
    await Promise.all(server.members.map((member) => member.launch()));
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
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** One etcd process, which can be killed, frozen and started again on its data. */
export class EtcdMember {
  readonly clientPort: number;
  readonly #flags: readonly string[];
  #process: ChildProcess | undefined;
  #output = "";

  constructor(directory: string, member: Member, all: readonly Member[]) {
    this.clientPort = member.clientPort;
    const client = `http://127.0.0.1:${member.clientPort}`;
    const peer = (of: Member): string => `http://127.0.0.1:${of.peerPort}`;
    this.#flags = [
      `--name=${member.name}`,
      `--data-dir=${join(directory, member.name)}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer(member)}`,
      `--initial-advertise-peer-urls=${peer(member)}`,
      `--initial-cluster=${all.map((of) => `${of.name}=${peer(of)}`).join(",")}`,
      // What it writes is thrown away with the test.
      "--unsafe-no-fsync",
      "--logger=zap",
      "--log-level=warn",
    ];
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.clientPort}`;
  }

  /** Starts the process (again) on its data, and waits until it serves. */
  async launch(): Promise<void> {
    const child = spawn("etcd", this.#flags, { stdio: ["ignore", "pipe", "pipe"] });
    const keep = (chunk: Buffer): void => {
      this.#output = `${this.#output}${chunk.toString()}`.slice(-20_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    this.#process = child;
    for (;;) {
      const answer = await fetch(`${this.endpoint}/health`).catch(() => undefined);
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

  /** Calls etcd's JSON gateway, for what `MetadataStore` does not offer: "kv/compaction", "auth/enable". */
  async control(path: string, request: Readonly<Record<string, unknown>>): Promise<unknown> {
    const body = JSON.stringify(request);
    const answer = await fetch(`${this.endpoint}/v3/${path}`, { method: "POST", body });
    if (!answer.ok) throw new Error(`etcd refused ${path}: ${await answer.text()}`);
    return answer.json();
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    ports.push(address.port);
  }
  for (const server of servers) server.close();
  return ports;
}
