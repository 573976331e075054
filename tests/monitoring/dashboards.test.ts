import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { treeRoot } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";

const run = promisify(execFile);

interface Expected {
  readonly labels: string;
  readonly value: number;
}

/** The queries of a panel, as Grafana asks them of a namespace. */
async function queriesOf(dashboard: string, panel: string, namespace: string): Promise<readonly string[]> {
  const text = await readFile(join(treeRoot, `charts/ottla/files/dashboards/${dashboard}.json`), "utf8");
  const { panels } = JSON.parse(text) as {
    readonly panels: readonly { title: string; targets: readonly { expr: string }[] }[];
  };
  const found = panels.find(({ title }) => title === panel)?.targets ?? [];
  return found.map(({ expr }) => expr.replaceAll("$namespace", namespace).replaceAll("$job", ".*"));
}

/** Rejects with promtool's words when the query gives something else after half an hour. */
async function check(series: Readonly<Record<string, string>>, expr: string, samples: readonly Expected[]) {
  const directory = await mkdtemp(join(tmpdir(), "ottla-dashboards-"));
  try {
    const file = join(directory, "test.json");
    const input = Object.entries(series).map(([name, values]) => ({ series: name, values }));
    const asked = [{ expr, eval_time: "30m", exp_samples: samples }];
    const tests = [{ interval: "1m", input_series: input, promql_expr_test: asked }];
    await writeFile(file, JSON.stringify({ rule_files: [], evaluation_interval: "1m", tests }));
    await run("promtool", ["test", "rules", file]).catch((thrown: unknown) => {
      const { stdout, stderr } = thrown as { stdout: string; stderr: string };
      throw new Error(`${expr}:\n${stdout}${stderr}`);
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const from = (name: string, namespace: string, instance: string, labels = ""): string =>
  `${name}{namespace="${namespace}",job="${namespace}/ottla-nodes",instance="${instance}"${labels}}`;

/** Two gateways in each of two clusters, which all tell of their cluster's topic, and another exporter. */
const SERIES: Readonly<Record<string, string>> = Object.fromEntries([
  ...["one", "two"].flatMap((namespace) =>
    ["a", "b"].flatMap((instance) => [
      [from("ottla_build_info", namespace, instance), "1x60"],
      [from("process_resident_memory_bytes", namespace, instance), "100x60"],
      ...["0", "1"].map((partition) => [
        from(
          "kafka_topic_partition_current_offset",
          namespace,
          instance,
          `,topic="t",partition="${partition}"`,
        ),
        "0+60x60",
      ]),
    ]),
  ),
  [from("kafka_topic_partition_current_offset", "one", "exporter", ',topic="t",partition="0"'), "0+600x60"],
  [from("process_resident_memory_bytes", "one", "exporter"), "900x60"],
]) as Readonly<Record<string, string>>;

const topicOf = (namespace: string): string =>
  `{namespace="${namespace}",job="${namespace}/ottla-nodes",topic="t"}`;

describe.skipIf(!haveTools("promtool"))("dashboards", () => {
  test("records of a topic count once, however many gateways tell of them", async () => {
    const [query = ""] = await queriesOf("topics", "Records in, by topic", ".*");
    const expected = ["one", "two"].map((namespace) => ({ labels: topicOf(namespace), value: 2 }));
    await expect(check(SERIES, query, expected)).resolves.toBeUndefined();
  });

  test("a reader sees the cluster that was chosen alone", async () => {
    const [query = ""] = await queriesOf("topics", "Records in, by topic", "two");
    await expect(check(SERIES, query, [{ labels: topicOf("two"), value: 2 }])).resolves.toBeUndefined();
  });

  test("other programs are not on the page of the nodes", async () => {
    const [query = ""] = await queriesOf("nodes", "Memory", "one");
    const expected = ["a", "b"].map((instance) => ({
      labels: from("process_resident_memory_bytes", "one", instance),
      value: 100,
    }));
    await expect(check(SERIES, query, expected)).resolves.toBeUndefined();
  });
});
