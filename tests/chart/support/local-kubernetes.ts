import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm, symlink } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { LocalPod, type PodSurroundings } from "./local-pod.ts";
import { isSelected, type Manifest, type PodTemplate, podTemplateOf } from "./manifests.ts";

export interface LocalKubernetesOptions {
  readonly manifests: readonly Manifest[];
  readonly directory: string;
  /** The program that the image has as `ottla`. */
  readonly ottla: string;
  /** Workloads that run; all when left out. */
  readonly only?: readonly string[];
  /** How long a pod may take to get ready when all is installed. Default 60 s. */
  readonly startTimeoutMs?: number;
}

interface Workload {
  readonly kind: "Deployment" | "StatefulSet";
  readonly name: string;
  readonly template: PodTemplate;
  readonly pods: LocalPod[];
}

let hasOldEtcd: boolean | undefined;

const START_TIMEOUT_MS = 60_000;
const NAMESPACE_SUFFIX = ".streams.svc.cluster.local";

/**
 * The little of Kubernetes that the chart leans on, on this machine: pods as processes, services as
 * addresses in front of the pods that are ready, names, probes, and rolling updates in Kubernetes' order.
 */
export class LocalKubernetes {
  readonly #options: LocalKubernetesOptions;
  readonly #workloads: Workload[] = [];
  readonly #services: Server[] = [];
  readonly #serviceIps = new Map<string, string>();
  #podNumber = 0;

  private constructor(options: LocalKubernetesOptions) {
    this.#options = options;
  }

  /** Starts everything at once, as an installation does; resolves when all is ready. */
  static async install(options: LocalKubernetesOptions): Promise<LocalKubernetes> {
    const kubernetes = new LocalKubernetes(options);
    await kubernetes.#makePrograms();
    for (const manifest of options.manifests) kubernetes.#addWorkload(manifest);
    try {
      await kubernetes.#startServices();
      const pods = kubernetes.#workloads.flatMap((workload) => workload.pods);
      await Promise.all(pods.map((pod) => pod.start(options.startTimeoutMs ?? START_TIMEOUT_MS)));
      return kubernetes;
    } catch (thrown) {
      await kubernetes.close();
      throw thrown;
    }
  }

  get pods(): readonly LocalPod[] {
    return this.#workloads.flatMap((workload) => workload.pods);
  }

  serviceAddress(name: string, port: number): string {
    const ip = this.#serviceIps.get(name);
    if (ip === undefined) throw new Error(`there is no service ${name}`);
    return `${ip}:${port}`;
  }

  /** As `kubectl rollout restart`: each workload by its own strategy, one pod at a time. */
  async rollingRestart(workloadName: string): Promise<void> {
    const workload = this.#workload(workloadName);
    if (workload.kind === "StatefulSet") {
      for (const pod of workload.pods.toReversed()) {
        await pod.stop();
        await pod.start(START_TIMEOUT_MS);
      }
      return;
    }
    for (const before of workload.pods.slice()) {
      const after = this.#makePod(`${workload.name}-${this.#podNumber}`, workload.template);
      await after.start(START_TIMEOUT_MS);
      workload.pods.push(after);
      await before.stop();
      workload.pods.splice(workload.pods.indexOf(before), 1);
    }
  }

  /** As `kubectl scale` or an upgrade with another number of replicas; resolves when all are ready. */
  async scale(workloadName: string, replicas: number): Promise<void> {
    const { name, template, pods } = this.#workload(workloadName);
    const more: LocalPod[] = [];
    for (let index = pods.length; index < replicas; index += 1) {
      more.push(this.#makePod(`${name}-${index}`, template));
    }
    pods.push(...more);
    await Promise.all(more.map((pod) => pod.start(START_TIMEOUT_MS)));
    // The last ones go first; their volumes stay.
    for (const pod of pods.slice(replicas).toReversed()) {
      await pod.stop();
      pods.splice(pods.indexOf(pod), 1);
    }
  }

  /** The pod's claims are deleted and the pod with them; resolves when its successor is ready. */
  async loseVolumes(podName: string): Promise<void> {
    const pod = this.pods.find(({ name }) => name === podName);
    if (pod === undefined) throw new Error(`there is no pod ${podName}`);
    await pod.stop();
    await rm(join(this.#options.directory, "pods", podName), { recursive: true });
    await pod.start(START_TIMEOUT_MS);
  }

  /** Runs a pod of the manifests that ends by itself; resolves with its exit code and output. */
  async runToEnd(name: string): Promise<{ readonly code: number | null; readonly output: string }> {
    const manifest = this.#options.manifests.find((one) => one.kind === "Pod" && one.metadata.name === name);
    const template = manifest && podTemplateOf(manifest);
    if (template === undefined) throw new Error(`there is no pod ${name}`);
    const pod = this.#makePod(name, template);
    await pod.launch();
    return { code: await pod.untilEnded(), output: pod.output };
  }

  /** Ends all pods in an orderly way: first gateways, then what they need, last etcd. */
  async uninstall(): Promise<void> {
    const order = ["gateway", "standalone", "group-coordinator", "storage", "coordinator", "etcd"];
    for (const suffix of order) {
      const workloads = this.#workloads.filter(({ name }) => name === `ottla-${suffix}`);
      await Promise.all(workloads.flatMap(({ pods }) => pods.map((pod) => pod.stop())));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.pods.map((pod) => pod.kill()));
    for (const service of this.#services) service.close();
  }

  #workload(workloadName: string): Workload {
    const workload = this.#workloads.find(({ name }) => name === workloadName);
    if (workload === undefined) throw new Error(`there is no workload ${workloadName}`);
    return workload;
  }

  /** The programs that the images have. */
  async #makePrograms(): Promise<void> {
    const programs = join(this.#options.directory, "programs");
    await mkdir(programs, { recursive: true });
    await symlink(this.#options.ottla, join(programs, "ottla"));
  }

  #addWorkload(manifest: Manifest): void {
    const { kind } = manifest;
    const template = podTemplateOf(manifest);
    if (template === undefined || (kind !== "Deployment" && kind !== "StatefulSet")) return;
    if (this.#options.only?.includes(manifest.metadata.name) === false) return;
    const { name } = manifest.metadata;
    const replicas = Number(manifest.spec?.["replicas"] ?? 1);
    const names = Array.from({ length: replicas }, (_, index) =>
      kind === "StatefulSet" ? `${name}-${index}` : `${name}-5c9f-${index}`,
    );
    const workload: Workload = { kind, name, template, pods: [] };
    this.#workloads.push(workload);
    for (const podName of names) workload.pods.push(this.#makePod(podName, template));
  }

  #makePod(name: string, template: PodTemplate): LocalPod {
    this.#podNumber += 1;
    const around: PodSurroundings = {
      manifests: this.#options.manifests,
      directory: join(this.#options.directory, "pods"),
      programs: join(this.#options.directory, "programs"),
      entrypoint: ["ottla", "serve"],
      resolveNames: (text) => this.#resolveNames(text),
      probePath: (path) => (name.includes("-etcd-") ? probePathHere(path) : path),
    };
    return new LocalPod(name, `127.30.0.${this.#podNumber}`, template, around);
  }

  /** Each service has an address, behind which the pods that are ready take turns. */
  async #startServices(): Promise<void> {
    let number = 0;
    for (const { kind, metadata, spec } of this.#options.manifests) {
      if (kind !== "Service" || spec?.["clusterIP"] === "None") continue;
      number += 1;
      const ip = `127.31.0.${number}`;
      this.#serviceIps.set(metadata.name, ip);
      const ports = spec?.["ports"] as readonly { port: number; targetPort: string }[];
      for (const { port, targetPort } of ports) {
        await this.#startService(ip, port, targetPort, spec?.["selector"] as Record<string, string>);
      }
    }
  }

  async #startService(
    ip: string,
    port: number,
    targetPort: string,
    selector: Readonly<Record<string, string>>,
  ): Promise<void> {
    let turn = 0;
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
      const ready = this.pods.filter(
        (pod) => pod.isReady && isSelected(selector, pod.template.metadata.labels),
      );
      turn += 1;
      const pod = ready[turn % Math.max(1, ready.length)];
      const target = pod?.portOf(targetPort);
      if (pod === undefined || target === undefined) {
        client.destroy();
        return;
      }
      const upstream = connect({ host: pod.ip, port: target, noDelay: true, allowHalfOpen: true });
      client.pipe(upstream).pipe(client);
      client.on("error", () => upstream.destroy());
      upstream.on("error", () => client.destroy());
      client.on("close", () => upstream.destroy());
      upstream.on("close", () => client.destroy());
    });
    server.listen(port, ip);
    await once(server, "listening");
    this.#services.push(server);
  }

  /** Names of services, and of the pods of headless ones, which show unready pods only when told to. */
  #resolveNames(text: string): string {
    return text.replace(/[a-z0-9.-]+\.streams\.svc\.cluster\.local/g, (name) => {
      const labels = name.slice(0, -NAMESPACE_SUFFIX.length).split(".");
      const [podName, serviceName] = labels.length === 2 ? labels : [undefined, labels[0]];
      const service = this.#options.manifests.find(
        (manifest) => manifest.kind === "Service" && manifest.metadata.name === serviceName,
      );
      if (service === undefined) return name;
      if (podName === undefined) return this.#serviceIps.get(String(serviceName)) ?? name;
      const pod = this.pods.find((candidate) => candidate.name === podName);
      const isShown = service.spec?.["publishNotReadyAddresses"] === true || pod?.isReady === true;
      return pod !== undefined && isShown ? pod.ip : name;
    });
  }
}

/** Debian's etcd is of 3.4, which has neither /livez nor /readyz. */
function probePathHere(path: string): string {
  if (path !== "/livez" && path !== "/readyz") return path;
  hasOldEtcd ??= /etcd Version: 3\.[0-4]\./.test(spawnSync("etcd", ["--version"]).stdout.toString());
  return hasOldEtcd ? "/health" : path;
}
