import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ottlaCommand } from "../support/ottla-server.ts";
import { breakChart, type TemplateBug } from "./support/broken-chart.ts";
import { canRunPods } from "./support/can-run-pods.ts";
import { type Profile, render } from "./support/helm.ts";
import { LocalKubernetes } from "./support/local-kubernetes.ts";

/** A mistake that only shows when the pods run, and how it shows. */
interface RunningBug extends TemplateBug {
  readonly profile: Profile;
  /** What runs of it: the pod that meets the mistake. */
  readonly only: readonly string[];
  readonly shows: RegExp;
}

const STORAGE = { profile: "default", only: ["ottla-storage"] } as const;
const ONE_POD = { profile: "dev", only: ["ottla-standalone"] } as const;

const BUGS: readonly RunningBug[] = [
  {
    ...ONE_POD,
    bug: "readiness asks for a page that is not served",
    file: "_pod.tpl",
    from: "path: /readyz",
    to: "path: /ready",
    shows: /is not ready within/,
  },
  {
    ...ONE_POD,
    bug: "a setting that does not exist",
    file: "_config.tpl",
    from: '"data-dir" "/var/lib/ottla"',
    to: '"data-directory" "/var/lib/ottla"',
    shows: /data-directory/,
  },
  {
    ...STORAGE,
    bug: "the variable that names etcd is misspelt",
    file: "_config.tpl",
    from: "OTTLA_ETCD_ENDPOINTS",
    to: "OTTLA_ETCD_ENDPOINT",
    shows: /OTTLA_ETCD_ENDPOINT\b/,
  },
  {
    ...STORAGE,
    bug: "the secret lies elsewhere than the settings say",
    file: "_pod.tpl",
    from: "mountPath: /etc/ottla/secret",
    to: "mountPath: /etc/ottla/secrets",
    shows: /cluster\.secret-file/,
  },
  {
    ...STORAGE,
    bug: "the secret has another key than is mounted",
    file: "cluster-secret.yaml",
    from: "  cluster-secret: {{",
    to: "  secret: {{",
    shows: /has no key cluster-secret/,
  },
  {
    ...STORAGE,
    bug: "a role that does not exist",
    file: "storage/statefulset.yaml",
    from: '"target" "partition-storage"',
    to: '"target" "storage"',
    shows: /target/,
  },
];

const canRun = canRunPods();
/** A sound pod takes about two seconds; most of these end before. */
const START_TIMEOUT_MS = 10_000;

let kubernetes: LocalKubernetes | undefined;
let directory: string | undefined;

afterEach(async () => {
  await kubernetes?.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  kubernetes = undefined;
});

async function install(bug: Pick<RunningBug, "profile" | "only">, chart: string): Promise<LocalKubernetes> {
  const set = bug.profile === "default" ? ["storage.replicas=1", "etcd.replicas=1"] : [];
  kubernetes = await LocalKubernetes.install({
    manifests: await render({ profile: bug.profile, chart, set }),
    directory: join(String(directory), "pods"),
    ottla: ottlaCommand,
    only: bug.only,
    startTimeoutMs: START_TIMEOUT_MS,
  });
  return kubernetes;
}

describe.skipIf(!canRun)("mistakes in templates that show when the pods run", () => {
  test.each(BUGS)("$bug", async (bug) => {
    directory = await mkdtemp(join(tmpdir(), "ottla-bug-"));
    await expect(install(bug, await breakChart(directory, bug))).rejects.toThrow(bug.shows);
  });

  test("the service has another port than the program: helm test fails", async () => {
    directory = await mkdtemp(join(tmpdir(), "ottla-bug-"));
    const chart = await breakChart(directory, {
      bug: "another port",
      file: "standalone/standalone.yaml",
      from: '"grpc" (int .Values.gateway.grpc.port)',
      to: '"grpc" 50050',
    });
    const running = await install(ONE_POD, chart);
    expect(await running.runToEnd("ottla-test")).toMatchObject({ code: 69 });
  });
});
