import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ottlaCommand } from "../support/ottla-server.ts";
import { canRunPods } from "./support/can-run-pods.ts";
import { chartDirectory, render, type TemplateOptions } from "./support/helm.ts";
import { LocalKubernetes } from "./support/local-kubernetes.ts";
import { Prometheus } from "./support/prometheus.ts";
import { ServiceLoad } from "./support/service-load.ts";

const TEST_POD = "ottla-test";
const GRPC_PORT = 50_051;
const KAFKA_PORT = 9_092;
/** How long a panel may be without data after the traffic that it shows. */
const EMPTY_PANELS_MS = 30_000;

/** A pod's host name needs a namespace of its own, which only root may make. */
const canRun = canRunPods("etcd", "prometheus", "kcat");

let kubernetes: LocalKubernetes | undefined;
let directory: string | undefined;
let prometheus: Prometheus | undefined;

afterEach(async () => {
  await prometheus?.stop();
  await kubernetes?.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  kubernetes = undefined;
  prometheus = undefined;
});

async function install(options: TemplateOptions): Promise<LocalKubernetes> {
  directory = await mkdtemp(join(tmpdir(), "ottla-pods-"));
  kubernetes = await LocalKubernetes.install({
    manifests: await render(options),
    directory,
    ottla: ottlaCommand,
  });
  return kubernetes;
}

async function scrape(running: LocalKubernetes): Promise<Prometheus> {
  const targets = running.pods.flatMap((pod) => {
    const port = pod.portOf("http");
    return port === undefined ? [] : [`${pod.ip}:${port}`];
  });
  const started = { directory: join(String(directory), "prometheus"), targets, address: "127.32.0.1:9090" };
  prometheus = await Prometheus.start(started);
  await prometheus.untilScraped(2);
  return prometheus;
}

async function dashboardQueries(): Promise<{ readonly where: string; readonly query: string }[]> {
  const folder = join(chartDirectory, "files/dashboards");
  const found: { where: string; query: string }[] = [];
  for (const name of await readdir(folder)) {
    const { title, panels, templating } = JSON.parse(await readFile(join(folder, name), "utf8")) as {
      readonly title: string;
      readonly templating: {
        readonly list: readonly { readonly name: string; readonly allValue?: string }[];
      };
      readonly panels: readonly { title: string; targets: readonly { expr: string }[] }[];
    };
    for (const panel of panels) {
      for (const { expr } of panel.targets) {
        // As Grafana asks before the reader chooses anything.
        const query = templating.list.reduce(
          (asked, variable) => asked.replaceAll(`$${variable.name}`, String(variable.allValue)),
          expr,
        );
        found.push({ where: `${title}, ${panel.title}`, query });
      }
    }
  }
  return found;
}

/** What a group reads counts on the dashboards too. Panels whose queries find nothing are named. */
async function emptyPanels(running: LocalKubernetes, scraped: Prometheus): Promise<string[]> {
  const brokers = running.serviceAddress("ottla-gateway", KAFKA_PORT);
  const settings = ["-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=500"];
  const group = spawn("kcat", ["-b", brokers, ...settings, "-G", "dashboards", "load"], { stdio: "ignore" });
  try {
    let empty: string[] = [];
    for (const deadline = Date.now() + EMPTY_PANELS_MS; Date.now() < deadline; ) {
      empty = [];
      for (const { where, query } of await dashboardQueries()) {
        if ((await scraped.query(query)).length === 0) empty.push(`${where}: ${query}`);
      }
      if (empty.length === 0) break;
      await new Promise((resume) => setTimeout(resume, 1_000));
    }
    return empty;
  } finally {
    group.kill("SIGTERM");
  }
}

async function holdsReplicas(running: LocalKubernetes, podName: string): Promise<boolean> {
  const pod = running.pods.find(({ name }) => name === podName);
  const page = await (await fetch(`http://${pod?.ip}:${pod?.portOf("http")}/metrics`)).text();
  return /^ottla_partition_storage_partitions [1-9]/m.test(page);
}

/** What alerts ask for and no pod has: such an alert never fires. */
async function metricsOfAlertsThatNobodyHas(running: LocalKubernetes): Promise<string[]> {
  const rules = await readFile(join(chartDirectory, "files/alerts.yaml"), "utf8");
  const { groups } = parse(rules) as { groups: { rules: { expr: string }[] }[] };
  const expressions = groups.flatMap((group) => group.rules.map(({ expr }) => expr));
  const asked = expressions.flatMap((expr) => expr.match(/\b(?:ottla|kafka|nodejs)_[a-z0-9_]+/g) ?? []);
  const had = new Set<string>();
  for (const pod of running.pods) {
    const port = pod.portOf("http");
    if (port === undefined) continue;
    const page = await (await fetch(`http://${pod.ip}:${port}/metrics`)).text();
    for (const [, name] of page.matchAll(/^# TYPE (\S+)/gm)) had.add(String(name));
  }
  return asked.filter((name) => !had.has(name.replace(/_(?:bucket|sum|count)$/, "")));
}

describe.skipIf(!canRun)("the rendered pods, as processes of this machine", () => {
  test("one pod for a try: it gets ready, helm test passes, and it stops in order", async () => {
    const running = await install({ profile: "dev" });
    expect(await running.runToEnd(TEST_POD)).toMatchObject({ code: 0 });
    await running.uninstall();
  });

  test("a cluster gets ready, and restarts pod by pod under load: no client sees an error", async () => {
    const running = await install({ set: ["etcd.replicas=1", "gateway.preStopSeconds=1"] });
    const tested = await running.runToEnd(TEST_POD);
    expect(tested.output).toContain("1000 records produced and consumed");
    expect(tested.code).toBe(0);
    const load = await ServiceLoad.start(running.serviceAddress("ottla-gateway", GRPC_PORT));
    for (const workload of ["storage", "coordinator", "group-coordinator", "gateway"]) {
      await running.rollingRestart(`ottla-${workload}`);
      await load.untilAllMoved();
    }
    // Each storage pod led something when its turn came, and had handed all of it on before SIGTERM.
    const storage = running.pods.filter(({ name }) => name.startsWith("ottla-storage-"));
    for (const { preStopOutput } of storage) {
      expect(preStopOutput).toMatch(/^others lead [1-9]\d* partitions? now, 0 could not move\n$/);
    }
    // After the restarts: Prometheus would not know the new pods, which Kubernetes would tell it of.
    const empty = await emptyPanels(running, await scrape(running));
    expect(await metricsOfAlertsThatNobodyHas(running)).toEqual([]);
    const outcome = await load.stop();
    expect(outcome.errors).toEqual([]);
    expect(outcome.faults).toEqual([]);
    expect(empty).toEqual([]);
    expect(outcome.acknowledged).toBeGreaterThan(100);
    await running.uninstall();
  }, 240_000);

  test("storage scales out and in, and loses a volume, under load: nothing is lost", async () => {
    const running = await install({ set: ["etcd.replicas=1"] });
    const load = await ServiceLoad.start(running.serviceAddress("ottla-gateway", GRPC_PORT));
    await load.untilAllMoved();
    const [gateway] = running.pods.filter(({ name }) => name.startsWith("ottla-gateway-"));
    const ottla = (...args: string[]): Promise<string> => gateway?.exec("ottla", ...args) ?? Promise.reject();
    await running.scale("ottla-storage", 4);
    while (!(await holdsReplicas(running, "ottla-storage-3"))) await load.untilAllMoved();
    expect(await ottla("cluster", "drain", "3", "--wait")).toContain("drained");
    await running.scale("ottla-storage", 3);
    await load.untilAllMoved();
    await running.loseVolumes("ottla-storage-1");
    await load.untilAllMoved();
    expect(await ottla("cluster", "describe")).toContain("partition-storage");
    const outcome = await load.stop();
    expect(outcome.errors).toEqual([]);
    expect(outcome.faults).toEqual([]);
    await running.uninstall();
  }, 240_000);
});
