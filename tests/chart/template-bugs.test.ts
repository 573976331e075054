import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { breakChart, type TemplateBug } from "./support/broken-chart.ts";
import { renderText, validateAgainstApi } from "./support/helm.ts";
import type { Manifest } from "./support/manifests.ts";
import { findViolations } from "./support/policies.ts";

/** Mistakes that somebody could make in the chart: what the checks are worth shows in that each is caught. */
const BUGS: readonly TemplateBug[] = [
  {
    bug: "pods that are not ready hide from one another",
    file: "storage/service.yaml",
    from: "  publishNotReadyAddresses: true\n",
    to: "",
  },
  {
    bug: "a service asks for a port that no pod has",
    file: "gateway/service.yaml",
    from: "targetPort: grpc",
    to: "targetPort: rpc",
  },
  { bug: "a probe asks a port that is not there", file: "_pod.tpl", from: "port: http\n", to: "port: web\n" },
  {
    bug: "liveness looks at readiness",
    file: "_pod.tpl",
    from: "livenessProbe:\n        httpGet:\n          path: /healthz",
    to: "livenessProbe:\n        httpGet:\n          path: /readyz",
  },
  { bug: "no readiness at all", file: "_pod.tpl", from: "      readinessProbe:", to: "      x:" },
  {
    bug: "a key of the configuration that does not exist is mounted",
    file: "_pod.tpl",
    from: "- key: {{ .component }}.yaml",
    to: "- key: {{ .component }}.yml",
  },
  {
    // It is empty where a node has no zone, and an empty variable is as good as none: no pod would tell.
    bug: "a variable is misspelt",
    file: "storage/statefulset.yaml",
    from: '"OTTLA_ZONE"',
    to: '"OTTLA_ZONES"',
  },
  {
    bug: "the secret has another name",
    file: "cluster-secret.yaml",
    from: '"cluster-secret")',
    to: '"secret")',
  },
  {
    bug: "a variable comes from a ConfigMap's key that is not there",
    file: "etcd/etcd.yaml",
    from: "  initial-cluster-state: {{",
    to: "  cluster-state: {{",
  },
  { bug: "privileges are kept", file: "_pod.tpl", from: "          drop: [ALL]", to: "          drop: []" },
  {
    bug: "the root file system is writable",
    file: "_pod.tpl",
    from: "readOnlyRootFilesystem: true",
    to: "readOnlyRootFilesystem: false",
  },
  {
    bug: "the token of the service account is mounted",
    file: "_pod.tpl",
    from: "automountServiceAccountToken: false",
    to: "automountServiceAccountToken: true",
  },
  {
    bug: "a field is misspelt",
    file: "storage/statefulset.yaml",
    from: "podManagementPolicy: Parallel",
    to: "podManagmentPolicy: Parallel",
  },
  {
    bug: "the selector of a budget misses its pods",
    file: "_pod.tpl",
    from: 'unhealthyPodEvictionPolicy: {{ ternary "IfHealthyBudget" "AlwaysAllow" (has .component (list "storage" "etcd")) }}\n  selector:\n    matchLabels:\n',
    to: 'unhealthyPodEvictionPolicy: AlwaysAllow\n  selector:\n    matchLabels:\n      typo: "yes"\n',
  },
  {
    bug: "no limits",
    file: "_pod.tpl",
    from: "        {{- toYaml .values.resources | nindent 8 }}",
    to: "        {}",
  },
  {
    bug: "the volume of the data is not claimed",
    file: "storage/statefulset.yaml",
    from: "        name: data\n        labels:",
    to: "        name: dat\n        labels:",
  },
];

let directory: string | undefined;

afterEach(async () => {
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

async function faultsWith(bug: TemplateBug): Promise<readonly string[]> {
  directory = await mkdtemp(join(tmpdir(), "ottla-bug-"));
  const chart = await breakChart(directory, bug);
  try {
    const text = await renderText({ chart });
    const rendered = join(directory, "rendered.yaml");
    await writeFile(rendered, text);
    await validateAgainstApi(rendered, "1.35");
    const manifests = parseAllDocuments(text).map((document) => document.toJS() as Manifest | null);
    return findViolations(manifests.filter((manifest) => manifest !== null));
  } catch (thrown) {
    return [String(thrown)];
  }
}

test.each(BUGS)("is caught before anything runs: $bug", async (bug) => {
  expect(await faultsWith(bug)).not.toEqual([]);
});
