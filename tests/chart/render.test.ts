import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import {
  chartDirectory,
  helm,
  PROFILES,
  type Profile,
  render,
  renderText,
  validateAgainstApi,
} from "./support/helm.ts";
import { containersOf, podTemplateOf } from "./support/manifests.ts";
import { findViolations } from "./support/policies.ts";
import { normalised, renderedPath } from "./support/rendered.ts";

/** Switches that change what is rendered, each alone and some together. */
const VARIANTS: readonly (readonly string[])[] = [
  ["etcd.enabled=false", "etcd.endpoints={etcd-a:2379,etcd-b:2379}"],
  [
    "etcd.enabled=false",
    "etcd.endpoints={https://etcd:2379}",
    "etcd.tlsSecret=etcd-tls",
    "etcd.username=ottla",
    "etcd.passwordSecret=etcd-password",
  ],
  ["etcd.replicas=1"],
  ["cluster.existingSecret=mine"],
  ["storage.zone.from=node"],
  ["storage.zone.from=value", "storage.zone.value=a"],
  ["storage.zone.from=none"],
  ["gateway.service.type=LoadBalancer", "gateway.service.loadBalancerClass=cloud"],
  ["gateway.service.type=NodePort", "networkPolicy.clientsFrom[0].podSelector.matchLabels.kafka=yes"],
  [
    "gateway.ingress.enabled=true",
    "gateway.ingress.host=ottla.example.com",
    "gateway.ingress.tlsSecretName=t",
  ],
  ["gateway.autoscaling.enabled=true"],
  [
    "gateway.extraEnv[0].name=OTEL_EXPORTER_OTLP_HEADERS",
    "gateway.extraEnv[0].value=a=b",
    "storage.podLabels.team=a",
    "serviceAccount.create=false",
    "serviceAccount.name=mine",
    "storage.zone.from=node",
  ],
  ["networkPolicy.enabled=false", "monitoring.dashboards.enabled=false"],
  ["tracing.endpoint=http://collector:4318", "tracing.sampleRatio=0.5"],
  ["fullnameOverride=events", "commonLabels.team=a", "image.pullSecrets[0].name=pull"],
  ["storage.replicas=5", "defaultReplicationFactor=3", "topicDefaults.retention\\.ms=3600000"],
];

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ottla-chart-"));
});

afterAll(() => rm(directory, { recursive: true, force: true }));

async function checkAll(text: string, name: string): Promise<void> {
  const path = join(directory, `${name}.yaml`);
  // Objects of the Prometheus operator and the Gateway API are not Kubernetes' own.
  await writeFile(path, text);
  for (const version of ["1.28", "1.35"]) await validateAgainstApi(path, version);
}

describe.each(Object.keys(PROFILES) as Profile[])("profile %s", (profile) => {
  test("helm finds nothing to lint", async () => {
    const values = join(chartDirectory, PROFILES[profile]);
    await expect(helm(["lint", "--strict", chartDirectory, `--values=${values}`])).resolves.toContain(
      "0 chart(s) failed",
    );
  });

  test("Kubernetes would take all of it, and it keeps the house's policies", async () => {
    await checkAll(await renderText({ profile }), profile);
    expect(findViolations(await render({ profile }))).toEqual([]);
  });

  test("it is what k8s/rendered shows (make rendered)", async () => {
    const committed = await readFile(renderedPath(profile), "utf8");
    expect(normalised(await renderText({ profile }))).toBe(committed);
  });
});

test.each(VARIANTS.map((set) => ({ set, name: set.join(" ") })))("with $name", async ({ set }) => {
  await checkAll(await renderText({ set }), `variant-${VARIANTS.indexOf(set)}`);
  expect(findViolations(await render({ set }))).toEqual([]);
});

test.each([
  ["defaultReplicationFactor=4", /storage\.replicas is 3/],
  ["etcd.enabled=false", /a cluster needs etcd/],
  ["etcd.endpoints={a:2379}", /set one of the two/],
  ["etcd.replicas=2", /use 1, 3 or 5/],
  ["mode=standalone", /set etcd\.enabled=false/],
  ["storage.zone.from=value", /storage\.zone\.value is empty/],
  ["gateway.ingress.enabled=true", /needs gateway\.ingress\.host/],
  ["gateway.route.enabled=true", /needs gateway\.route\.parentRefs/],
  ["image.tag=latest", /image\.tag is latest/],
  ["etcd.image.tag=latest", /etcd\.image\.tag is latest/],
  ["etcd.initialClusterState=old", /\/etcd\/initialClusterState/],
  ["etcd.username=ottla", /go together/],
  ["etcd.passwordSecret=p", /go together/],
  ["gateway.preStopSeconds=50", /needs 11 s more/],
  ["gateway.kafka.port=8080", /gateway\.kafka\.port is 8080/],
  ["gateway.grpc.port=50052", /gateway\.grpc\.port is 50052/],
  ["gateway.kafka.port=50051", /are both 50051/],
  ["config.listen=127.0.0.1", /neither probes nor others/],
  ["storage.config.internal.listen=localhost", /listen on localhost/],
  ["storage.config.http.port=9000", /storage\.config sets http\.port/],
  ["gateway.config.grpc.port=9000", /set gateway\.grpc\.port/],
  ["config.data-dir=/data", /config sets data-dir/],
  ["storage.resources.limits.cpu=abc", /\/storage\/resources\/limits\/cpu/],
  ["podSecurityContext.runAsNonRoot=false", /run as root/],
  ["podSecurityContext.runAsUser=0", /run as root/],
  ["fullnameOverride=Foo_Bar", /cannot be called Foo_Bar/],
  ["topicDefaults.min\\.insync\\.replicas=4", /min\.insync\.replicas to 4/],
  ["storage.replicas=1,topicDefaults.min\\.insync\\.replicas=2", /topics have 1 replicas/],
  ["commonLabels.app\\.kubernetes\\.io/name=x", /the chart sets itself/],
  ["storage.replica=3", /additional properties 'replica' not allowed/],
  ["serviceAccount.create=false", /with serviceAccount\.name/],
  ["gateway.podLabels.app\\.kubernetes\\.io/name=a", /podLabels of gateway hold app/],
  ["gateway.kafka.advertisedAddress=host", /advertisedAddress/],
  ["tracing.endpoint=collector:4318", /\/tracing\/endpoint/],
  ["tracing.sampleRatio=2", /\/tracing\/sampleRatio/],
])("%s is refused with a sentence", async (set, message) => {
  await expect(render({ set: [set] })).rejects.toThrow(message);
});

test.each([
  ["ClusterIP", ["kafka", "grpc", "http"]],
  ["LoadBalancer", ["kafka", "grpc"]],
  ["NodePort", ["kafka", "grpc"]],
])("a Service of type %s publishes %j", async (type, expected) => {
  const manifests = await render({ set: [`gateway.service.type=${type}`] });
  const services = manifests.filter(
    ({ kind, metadata }) => kind === "Service" && /-gateway/.test(metadata.name),
  );
  const ports = services.map(({ spec }) =>
    ((spec?.["ports"] ?? []) as readonly { name: string }[]).map((one) => one.name),
  );
  expect(ports).toEqual(expected.includes("http") ? [expected] : [expected, ["http"]]);
});

test("only the container that reads the node's zone has a token", async () => {
  const templates = (await render({ set: ["storage.zone.from=node"] })).map(podTemplateOf);
  const withToken = templates.flatMap((template) =>
    (template === undefined ? [] : containersOf(template)).filter((container) =>
      container.volumeMounts?.some(({ mountPath }) => mountPath.includes("serviceaccount")),
    ),
  );
  expect(withToken.map(({ name }) => name)).toEqual(["zone"]);
});

test("a role's own labels and variables are its pods'", async () => {
  const set = ["gateway.podLabels.team=a", "gateway.extraEnv[0].name=A", "gateway.extraEnv[0].value=b"];
  for (const manifest of await render({ set })) {
    const template = podTemplateOf(manifest);
    if (template === undefined) continue;
    const isGateway = manifest.metadata.name === "ottla-gateway";
    expect(template.metadata.labels?.["team"]).toBe(isGateway ? "a" : undefined);
    const variables = template.spec.containers.flatMap(({ env }) => env ?? []);
    expect(variables.some(({ name, value }) => name === "A" && value === "b")).toBe(isGateway);
  }
});

test("etcd's certificate is checked without showing one to it, where so said", async () => {
  const set = ["etcd.enabled=false", "etcd.endpoints={https://etcd:2379}", "etcd.tlsSecret=etcd-tls"];
  const both = await renderText({ set });
  expect(both).toContain("OTTLA_ETCD_TLS_CERTIFICATE_FILE");
  expect(both).toContain("OTTLA_ETCD_TLS_KEY_FILE");
  const alone = await renderText({ set: [...set, "etcd.tlsClientCertificate=false"] });
  expect(alone).toContain("OTTLA_ETCD_TLS_CA_FILE");
  expect(alone).not.toMatch(/OTTLA_ETCD_TLS_(CERTIFICATE|KEY)_FILE/);
});

test.each(["gateway.service.type=LoadBalancer", "gateway.autoscaling.enabled=true"])(
  "one pod for all has no gateways, so %s is refused",
  async (set) => {
    await expect(render({ profile: "dev", set: [set] })).rejects.toThrow(/has no gateways/);
  },
);

test("a preStop of gateways is taken from the time that their stop has", async () => {
  const configs = (await render({ set: ["gateway.preStopSeconds=40"] })).find(
    ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === "ottla-config",
  );
  expect(parse(configs?.data?.["gateway.yaml"] ?? "")).toMatchObject({ shutdown: { "timeout-ms": 10_000 } });
});

test("a new version of the chart alone restarts no pod", async () => {
  const templates = (await render()).filter(({ kind }) => kind !== "Pod").map(podTemplateOf);
  const labels = templates.flatMap((template) => Object.keys(template?.metadata.labels ?? {}));
  expect(labels).toContain("app.kubernetes.io/part-of");
  expect(labels).not.toContain("helm.sh/chart");
  expect(labels).not.toContain("app.kubernetes.io/version");
});

test("the pods of etcd and of helm test are pulled and placed as all others", async () => {
  const placed = "nodeSelector.pool=streams";
  const pods = (
    await render({
      set: [
        "image.pullSecrets[0].name=pull",
        "etcd.podAnnotations.team=a",
        ...["gateway", "storage", "coordinator", "groupCoordinator", "etcd"].map(
          (role) => `${role}.${placed}`,
        ),
      ],
    })
  ).flatMap((manifest) => podTemplateOf(manifest) ?? []);
  expect(pods).toHaveLength(6);
  for (const { spec } of pods) {
    expect(spec).toMatchObject({ imagePullSecrets: [{ name: "pull" }], nodeSelector: { pool: "streams" } });
  }
  const etcd = pods.find(({ metadata }) => metadata.labels?.["app.kubernetes.io/component"] === "etcd");
  expect(etcd?.metadata.annotations).toMatchObject({ team: "a" });
});

test("a member of etcd that joins anew restarts no other: the templates of pods stay", async () => {
  const templates = async (set: readonly string[]): Promise<unknown> =>
    (await render({ set })).map(podTemplateOf).filter((template) => template !== undefined);
  const set = ["etcd.initialClusterState=existing"];
  expect(await templates(set)).toEqual(await templates([]));
  expect(await renderText({ set })).toContain("initial-cluster-state: existing");
});

test("etcd's members start without a majority, which they cannot make by a restart", async () => {
  const etcd = (await render()).find(
    ({ kind, metadata }) => kind === "StatefulSet" && metadata.name === "ottla-etcd",
  );
  const [container] = (etcd && podTemplateOf(etcd))?.spec.containers ?? [];
  expect(container?.startupProbe?.httpGet?.path).toBe("/livez");
  expect(container?.readinessProbe?.httpGet?.path).toBe("/readyz");
});

test("what a pod reads of its settings changes its annotation, and so restarts it", async () => {
  const checksums = async (set: readonly string[]): Promise<readonly string[]> =>
    [...(await renderText({ set })).matchAll(/checksum\/config: (\w+)/g)].map(([, sum]) => String(sum));
  const before = await checksums([]);
  const after = await checksums(["gateway.config.log.level=debug"]);
  expect(before).toHaveLength(4);
  expect(after.filter((sum) => !before.includes(sum))).toHaveLength(1);
});
