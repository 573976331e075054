import { expect, test } from "vitest";
import { render, type TemplateOptions } from "./support/helm.ts";

/** What a PrometheusRule says of runbooks. */
async function runbooksOf(set: readonly string[]): Promise<readonly Readonly<Record<string, string>>[]> {
  const manifests = await render({ set: ["monitoring.prometheusRule.enabled=true", ...set] });
  const { spec } = manifests.find(({ kind }) => kind === "PrometheusRule") as unknown as {
    readonly spec: { readonly groups: { rules: { annotations: Record<string, string> }[] }[] };
  };
  return spec.groups.flatMap(({ rules }) => rules.map(({ annotations }) => annotations));
}

async function podMonitors(options: TemplateOptions): Promise<readonly (readonly [string, string])[]> {
  const set = [...(options.set ?? []), "monitoring.podMonitor.enabled=true"];
  const found = (await render({ ...options, set })).filter(({ kind }) => kind === "PodMonitor");
  return found.map((manifest) => {
    const { metadata, spec } = manifest as unknown as {
      readonly metadata: { readonly name: string };
      readonly spec: { readonly podMetricsEndpoints: readonly [{ readonly port: string }] };
    };
    return [metadata.name, spec.podMetricsEndpoints[0].port] as const;
  });
}

test("alerts lead to their runbooks where these are served, and never by half an URL", async () => {
  const served = await runbooksOf([
    "monitoring.prometheusRule.runbookBaseUrl=https://wiki.example.com/runbooks/",
  ]);
  expect(served[0]?.["runbook_url"]).toBe("https://wiki.example.com/runbooks/OttlaPartitionsOffline.md");
  expect(served.every((one) => /^https:\/\/\S+[^/]\/Ottla\w+\.md$/.test(String(one["runbook_url"])))).toBe(
    true,
  );
  const unserved = await runbooksOf([]);
  expect(unserved.some((one) => "runbook_url" in one)).toBe(false);
  expect(unserved[0]?.["runbook"]).toBe("docs/runbooks/OttlaPartitionsOffline.md");
  await expect(runbooksOf(["monitoring.prometheusRule.runbookBaseUrl=docs/runbooks"])).rejects.toThrow(
    /runbookBaseUrl/,
  );
});

test("the chart's own etcd is scraped, as a job of its own", async () => {
  const nodes = ["ottla-nodes", "http"];
  expect(await podMonitors({})).toEqual([nodes, ["ottla-etcd", "metrics"]]);
  expect(await podMonitors({ set: ["etcd.enabled=false", "etcd.endpoints={etcd:2379}"] })).toEqual([nodes]);
  expect(await podMonitors({ profile: "dev" })).toEqual([nodes]);
});
