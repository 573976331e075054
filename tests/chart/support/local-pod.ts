import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Container, EnvironmentVariable, Handler, Manifest, PodTemplate, Probe } from "./manifests.ts";

/** What a pod has of the cluster around it. */
export interface PodSurroundings {
  readonly manifests: readonly Manifest[];
  /** Where its volumes lie; claims are kept over restarts. */
  readonly directory: string;
  /** Programs of the image come first in PATH. */
  readonly programs: string;
  /** The command of the image where the container names none. */
  readonly entrypoint: readonly string[];
  /** Replaces the names of pods and services that can be resolved now. */
  readonly resolveNames: (text: string) => string;
  /** Where a probe's path is on the program of this machine, which may be older than the image's. */
  readonly probePath: (path: string) => string;
}

const PROBE_PAUSE_MS = 100;

/**
 * One pod of the manifests as a process of this machine, on a loopback address of its own: with its command,
 * environment, files and probes. What is mounted lies elsewhere here, so paths are rewritten, and so is the
 * address that listens to all.
 */
export class LocalPod {
  readonly name: string;
  readonly ip: string;
  readonly template: PodTemplate;
  readonly container: Container;
  readonly #around: PodSurroundings;
  #process: ChildProcess | undefined;
  #output = "";
  #preStopOutput = "";
  #isReady = false;

  constructor(name: string, ip: string, template: PodTemplate, around: PodSurroundings) {
    const [container] = template.spec.containers;
    if (container === undefined) throw new Error(`pod ${name} has no container`);
    this.name = name;
    this.ip = ip;
    this.template = template;
    this.container = container;
    this.#around = around;
  }

  get isReady(): boolean {
    return this.#isReady && this.isRunning;
  }

  get isRunning(): boolean {
    return (
      this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null
    );
  }

  /** What its preStop said the last time. */
  get preStopOutput(): string {
    return this.#preStopOutput;
  }

  get output(): string {
    return this.#output;
  }

  /** Starts it and resolves when its readiness probe has passed. Rejects when it ends or takes too long. */
  async start(timeoutMs: number): Promise<void> {
    await this.launch();
    await this.untilReady(timeoutMs);
  }

  async launch(): Promise<void> {
    const { command, args = [] } = this.container;
    const paths = await this.#makeVolumes();
    const environment = this.#environment(paths);
    const expand = (text: string): string => this.#localised(expandVariables(text, environment), paths);
    const [program = "", ...rest] = [...(command ?? this.#around.entrypoint), ...args].map(expand);
    this.#output = "";
    this.#isReady = false;
    // The host's name is the pod's.
    const named = ["--uts", "sh", "-c", 'hostname "$0" && exec "$@"', this.name, program, ...rest];
    const child = spawn("unshare", named, { stdio: ["ignore", "pipe", "pipe"], env: environment });
    const keep = (chunk: Buffer): void => {
      this.#output = `${this.#output}${chunk.toString()}`.slice(-100_000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    this.#process = child;
  }

  async untilReady(timeoutMs: number): Promise<void> {
    const { startupProbe, readinessProbe } = this.container;
    const deadline = Date.now() + timeoutMs;
    const probes = [startupProbe, readinessProbe].filter((probe) => probe !== undefined);
    for (const probe of probes) {
      while (!(await this.#passes(probe))) {
        if (!this.isRunning) throw new Error(`pod ${this.name} ended before it was ready:\n${this.#output}`);
        if (Date.now() > deadline)
          throw new Error(`pod ${this.name} is not ready within ${timeoutMs} ms:\n${this.#output}`);
        await new Promise((resume) => setTimeout(resume, PROBE_PAUSE_MS));
      }
    }
    this.#isReady = true;
  }

  /** Looks at the readiness probe again. */
  async refreshReadiness(): Promise<boolean> {
    const { readinessProbe } = this.container;
    this.#isReady = readinessProbe === undefined || (await this.#passes(readinessProbe));
    return this.isReady;
  }

  /** As Kubernetes ends a pod: out of the services, preStop, SIGTERM, and SIGKILL when its time is over. */
  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined || !this.isRunning) return;
    this.#isReady = false;
    const graceMs = 1_000 * (this.template.spec.terminationGracePeriodSeconds ?? 30);
    const deadline = Date.now() + graceMs;
    const { preStop } = this.container.lifecycle ?? {};
    if (preStop !== undefined) await this.#runHandler(preStop);
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), Math.max(0, deadline - Date.now()));
    const [code, signal] = (await ended) as [number | null, string | null];
    clearTimeout(timer);
    // etcd, once it has stopped in order, ends by the signal that it was sent.
    if (code !== 0 && signal !== "SIGTERM")
      throw new Error(`pod ${this.name} ended with ${code ?? signal}:\n${this.#output}`);
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined || !this.isRunning) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** Resolves with the exit code of a pod that ends by itself. */
  async untilEnded(): Promise<number | null> {
    const child = this.#process;
    if (child === undefined) throw new Error(`pod ${this.name} was not started`);
    if (this.isRunning) await once(child, "exit");
    return child.exitCode;
  }

  /** As `kubectl exec`: resolves with what the command says. Its cluster is the one behind this pod. */
  async exec(program: string, ...args: readonly string[]): Promise<string> {
    const environment = this.#environment(new Map());
    environment["OTTLA_ADDRESS"] = `${this.ip}:${this.portOf("grpc") ?? 0}`;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: environment });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    if (code !== 0) throw new Error(`${program} ${args.join(" ")} in ${this.name}: ${output}`);
    return output;
  }

  portOf(name: string | number): number | undefined {
    if (typeof name === "number") return name;
    return this.container.ports?.find((port) => port.name === name)?.containerPort;
  }

  async #passes({ httpGet }: Probe): Promise<boolean> {
    if (httpGet === undefined) return true;
    const port = this.portOf(httpGet.port);
    if (port === undefined) return false;
    const answer = await fetch(`http://${this.ip}:${port}${this.#around.probePath(httpGet.path)}`, {
      signal: AbortSignal.timeout(2_000),
    }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => undefined);
    return answer?.ok === true;
  }

  async #runHandler(handler: Handler): Promise<void> {
    const [program, ...args] = handler.exec?.command ?? ["sleep", String(handler.sleep?.seconds ?? 0)];
    if (program === undefined) return;
    const environment = this.#environment(new Map());
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: environment });
    this.#preStopOutput = "";
    const keep = (chunk: Buffer): void => {
      this.#preStopOutput += chunk.toString();
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const [code] = (await once(child, "close")) as [number | null];
    if (code !== 0) throw new Error(`preStop of ${this.name} ended with ${code}: ${this.#preStopOutput}`);
  }

  #environment(paths: ReadonlyMap<string, string>): Record<string, string> {
    const environment: Record<string, string> = {
      PATH: `${this.#around.programs}:${process.env["PATH"] ?? ""}`,
      HOME: "/nonexistent",
    };
    for (const { name, value, valueFrom } of this.container.env ?? []) {
      const text = valueFrom === undefined ? (value ?? "") : this.#valueFrom(valueFrom);
      environment[name] = this.#localised(expandVariables(text, environment), paths);
    }
    return environment;
  }

  #valueFrom({ fieldRef, configMapKeyRef }: NonNullable<EnvironmentVariable["valueFrom"]>): string {
    if (configMapKeyRef === undefined) return this.#field(fieldRef?.fieldPath ?? "");
    const { name, key } = configMapKeyRef;
    const found = this.#around.manifests.find(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === name,
    );
    const value = found?.data?.[key];
    if (value === undefined) throw new Error(`pod ${this.name}: there is no ${key} in a ConfigMap ${name}`);
    return value;
  }

  #field(path: string): string {
    if (path === "metadata.name") return this.name;
    if (path === "status.podIP") return this.ip;
    const label = /^metadata\.labels\['(.+)'\]$/.exec(path)?.[1];
    if (label !== undefined) return this.template.metadata.labels?.[label] ?? "";
    throw new Error(`pod ${this.name} asks for the field ${path}, which is not known here`);
  }

  #localised(text: string, paths: ReadonlyMap<string, string>): string {
    let local = text;
    for (const [mountPath, directory] of paths) local = local.replaceAll(mountPath, directory);
    return this.#around.resolveNames(local).replaceAll("0.0.0.0", this.ip);
  }

  /** Mount paths, the longest first, and where they lie. */
  async #makeVolumes(): Promise<ReadonlyMap<string, string>> {
    const paths = new Map<string, string>();
    const mounts = this.container.volumeMounts ?? [];
    for (const { name, mountPath } of mounts.toSorted((a, b) => b.mountPath.length - a.mountPath.length)) {
      if (mountPath === "/tmp") continue;
      const directory = join(this.#around.directory, this.name, name);
      await mkdir(directory, { recursive: true });
      paths.set(mountPath, directory);
    }
    for (const [mountPath, directory] of paths) {
      const name = mounts.find((mount) => mount.mountPath === mountPath)?.name;
      for (const [file, content] of this.#filesOf(String(name))) {
        await writeFile(join(directory, file), this.#localised(content, paths));
      }
    }
    return paths;
  }

  #filesOf(volumeName: string): readonly (readonly [string, string])[] {
    const volume = this.template.spec.volumes?.find(({ name }) => name === volumeName);
    const source = volume?.configMap ?? volume?.secret;
    if (source === undefined) return [];
    const [kind, name] = "secretName" in source ? ["Secret", source.secretName] : ["ConfigMap", source.name];
    const object = this.#around.manifests.find(
      (manifest) => manifest.kind === kind && manifest.metadata.name === name,
    );
    if (object === undefined) throw new Error(`pod ${this.name}: there is no ${kind} ${name}`);
    const items = source.items ?? Object.keys(object.data ?? {}).map((key) => ({ key, path: key }));
    return items.map(({ key, path }) => {
      const value = object.data?.[key];
      if (value === undefined) throw new Error(`pod ${this.name}: ${kind} ${name} has no key ${key}`);
      return [path, kind === "Secret" ? Buffer.from(value, "base64").toString() : value] as const;
    });
  }
}

/** $(NAME) as Kubernetes expands it. */
function expandVariables(text: string, environment: Readonly<Record<string, string>>): string {
  return text.replace(/\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (whole, name: string) => environment[name] ?? whole);
}
