import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { treeRoot } from "../support/ottla-server.ts";
import { haveTools } from "../support/tools.ts";

const run = promisify(execFile);
const rulesPath = join(treeRoot, "charts/ottla/files/alerts.yaml");

interface Rule {
  readonly alert: string;
  readonly for: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

const { groups } = parse(await readFile(rulesPath, "utf8")) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);

/** Series of samples, one a minute, under which the alert fires, and others under which it does not. */
interface Case {
  readonly fires: Readonly<Record<string, string>>;
  readonly staysQuiet: Readonly<Record<string, string>>;
  /** When to look. Default one hour. */
  readonly atMinutes?: number;
}

const node = (metric: string, labels = ""): string =>
  `${metric}{instance="a",job="ottla"${labels === "" ? "" : `,${labels}`}}`;

const OF_GROUP = '{consumergroup="g",topic="orders",partition="0",instance="a",job="ottla"}';

/** What makes a process one of Ottla. */
const BUILD = node("ottla_build_info", 'version="1.0.0"');

/** A gauge that is bad at one value and good at another. */
function gauge(metric: string, bad: number, good: number): Case {
  return {
    fires: { [node(metric)]: `${bad}x120` },
    staysQuiet: { [node(metric)]: `${good}x120` },
  };
}

/** A histogram of which all observations of a minute are above, or below, what is allowed. */
function histogram(metric: string, labels = ""): Case {
  const buckets = (below: string): Record<string, string> => ({
    [node(`${metric}_bucket`, [`le="0.25"`, labels].filter((part) => part !== "").join(","))]: below,
    [node(`${metric}_bucket`, [`le="1"`, labels].filter((part) => part !== "").join(","))]: "0+60x120",
    [node(`${metric}_bucket`, [`le="+Inf"`, labels].filter((part) => part !== "").join(","))]: "0+60x120",
  });
  return { fires: buckets("0x120"), staysQuiet: buckets("0+60x120") };
}

const CASES: Readonly<Record<string, Case>> = {
  OttlaPartitionsOffline: gauge("ottla_coordinator_offline_partitions", 3, 0),
  OttlaPartitionsUnderMinIsr: gauge("ottla_coordinator_under_min_isr_partitions", 3, 0),
  OttlaPartitionsUnderReplicated: gauge("ottla_coordinator_under_replicated_partitions", 3, 0),
  OttlaNoActiveCoordinator: gauge("ottla_coordinator_active_state", 0, 1),
  OttlaMetadataStoreAway: gauge("ottla_metadata_store_state", 0, 1),
  OttlaMetadataStoreSlow: histogram("ottla_metadata_etcd_latency_seconds"),
  OttlaLogsFailed: gauge("ottla_partition_storage_failed_partitions", 1, 0),
  OttlaDamagedRecords: {
    fires: { [node("ottla_partition_storage_corrupt_reads_total")]: "0x50 1x70" },
    staysQuiet: { [node("ottla_partition_storage_corrupt_reads_total")]: "4x120" },
  },
  OttlaUncleanElection: {
    fires: { [node("ottla_coordinator_elections_total", 'kind="unclean"')]: "0x50 2x70" },
    staysQuiet: { [node("ottla_coordinator_elections_total", 'kind="isr"')]: "0+5x120" },
  },
  OttlaInSyncReplicasChurn: {
    fires: { [node("ottla_partition_storage_isr_changes_total", 'change="shrink"')]: "0+30x120" },
    staysQuiet: { [node("ottla_partition_storage_isr_changes_total", 'change="shrink"')]: "0+1x120" },
  },
  OttlaDiskFillsUp: {
    fires: { [node("ottla_partition_storage_disk_free_bytes")]: "1000000-2000x480" },
    staysQuiet: { [node("ottla_partition_storage_disk_free_bytes")]: "1000000-1x480" },
    atMinutes: 420,
  },
  OttlaDiskFull: {
    fires: {
      [node("ottla_partition_storage_failed_appends_total", 'reason="KAFKA_STORAGE_ERROR"')]: "0+5x120",
    },
    staysQuiet: {
      [node("ottla_partition_storage_failed_appends_total", 'reason="INVALID_RECORD"')]: "0+5x120",
    },
  },
  OttlaSyncsSlow: histogram("ottla_partition_storage_log_sync_duration_seconds"),
  OttlaEventLoopBlocked: gauge("nodejs_eventloop_lag_p99_seconds", 1, 0.01),
  OttlaRequestsFail: {
    fires: {
      [node("ottla_gateway_failed_appends_total", 'reason="NOT_ENOUGH_REPLICAS"')]: "0+10x120",
      [node("ottla_gateway_appended_batches_total")]: "0+100x120",
    },
    staysQuiet: {
      [node("ottla_gateway_failed_appends_total", 'reason="INVALID_RECORD"')]: "0+1x120",
      [node("ottla_gateway_appended_batches_total")]: "0+1000x120",
    },
  },
  OttlaGroupFallsBehind: {
    fires: {
      [`kafka_consumergroup_lag_seconds${OF_GROUP}`]: "400+60x120",
      [`kafka_consumergroup_lag${OF_GROUP}`]: "100+50x120",
    },
    // It is behind and catches up.
    staysQuiet: {
      [`kafka_consumergroup_lag_seconds${OF_GROUP}`]: "400x120",
      [`kafka_consumergroup_lag${OF_GROUP}`]: "9000-50x120",
    },
  },
  OttlaGroupWithoutMembers: {
    fires: {
      [`kafka_consumergroup_lag${OF_GROUP}`]: "10x120",
      [`kafka_consumergroup_members{consumergroup="g",instance="a",job="ottla"}`]: "2x10 0x110",
    },
    staysQuiet: {
      [`kafka_consumergroup_lag${OF_GROUP}`]: "10x120",
      [`kafka_consumergroup_members{consumergroup="g",instance="a",job="ottla"}`]: "1x120",
    },
  },
  OttlaLeadersUnbalanced: {
    fires: {
      [node("ottla_coordinator_leader_imbalance_partitions")]: "4x120",
      [node("ottla_coordinator_under_replicated_partitions")]: "0x120",
      [node("ottla_coordinator_balancing_paused_state")]: "0x120",
    },
    // A node is away: its partitions are led by others until it is back.
    staysQuiet: {
      [node("ottla_coordinator_leader_imbalance_partitions")]: "4x120",
      [node("ottla_coordinator_under_replicated_partitions")]: "4x120",
      [node("ottla_coordinator_balancing_paused_state")]: "0x120",
    },
  },
  OttlaGarbageCollection: {
    fires: {
      [node("nodejs_gc_duration_seconds_sum", 'kind="major"')]: "0+15x120",
      [node("nodejs_gc_duration_seconds_sum", 'kind="minor"')]: "0+3x120",
    },
    staysQuiet: { [node("nodejs_gc_duration_seconds_sum", 'kind="minor"')]: "0+3x120" },
  },
  OttlaStorageNodeUnreachable: gauge("ottla_gateway_ejected_nodes", 1, 0),
  OttlaRecoveryNeeded: gauge("ottla_metadata_recovery_state", 1, 0),
  OttlaNodeDown: {
    fires: { [BUILD]: "1x30 _x90", [node("up")]: "1x30 0x90" },
    staysQuiet: { [BUILD]: "1x120", [node("up")]: "1x120" },
  },
  OttlaNotSeen: {
    fires: { [BUILD]: "1x30 stale" },
    staysQuiet: { [BUILD]: "1x120" },
  },
};

/** The case's series, and the process that they come from. */
const ofOttla = (series: Case["fires"]): Case["fires"] => ({ [BUILD]: "1x480", ...series });

/** The same series in a namespace, as a Prometheus on Kubernetes names it. */
const inNamespace = (name: string, series: Case["fires"]): Case["fires"] =>
  Object.fromEntries(
    Object.entries(series).map(([one, values]) => [one.replace("{", `{namespace="${name}",`), values]),
  );

async function promtool(args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run("promtool", args).catch((thrown: unknown) => {
    const failed = thrown as { stdout: string; stderr: string };
    throw new Error(`promtool ${args.join(" ")}:\n${failed.stdout}${failed.stderr}`);
  });
  return stdout + stderr;
}

/** What the alert is at its time, in the words of promtool's rule tests; empty when it does not fire. */
async function firing(alert: string, series: Case["fires"], atMinutes: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "ottla-alerts-"));
  try {
    const input = Object.entries(series).map(([name, values]) => ({ series: name, values }));
    const file = join(directory, "test.json");
    const expectsNone = { eval_time: `${atMinutes}m`, alertname: alert, exp_alerts: [] };
    const tests = [{ interval: "1m", input_series: input, alert_rule_test: [expectsNone] }];
    await writeFile(file, JSON.stringify({ rule_files: [rulesPath], evaluation_interval: "1m", tests }));
    await promtool(["test", "rules", file]);
    return "";
  } catch (thrown) {
    if (String(thrown).includes(`alertname="${alert}"`)) return String(thrown);
    throw thrown;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

describe("alerts", () => {
  test("each has a case here and a runbook, and says what is wrong", async () => {
    expect(rules.map(({ alert }) => alert).toSorted()).toEqual(Object.keys(CASES).toSorted());
    for (const { annotations, expr } of rules) {
      const runbook = await readFile(join(treeRoot, String(annotations["runbook"])), "utf8");
      const [, shown = ""] = /```promql\n([^`]*)```/.exec(runbook) ?? [];
      expect(shown.replace(/\s+/g, " ").trim()).toBe(expr.replace(/\s+/g, " ").trim());
      expect(annotations["summary"]).toMatch(/\S/);
      expect(annotations["description"]).toMatch(/\.$/);
    }
  });

  const canRun = haveTools("promtool");

  test.skipIf(!canRun)("Prometheus takes all of them", async () => {
    await expect(promtool(["check", "rules", rulesPath])).resolves.toContain(`${rules.length} rules found`);
  });

  test.skipIf(!canRun).each(rules.map(({ alert }) => alert))(
    "%s fires when it should, and only then",
    async (alert) => {
      const { fires: bad, staysQuiet: good, atMinutes = 60 } = CASES[alert] ?? { fires: {}, staysQuiet: {} };
      expect(await firing(alert, ofOttla(bad), atMinutes)).not.toBe("");
      expect(await firing(alert, ofOttla(good), atMinutes)).toBe("");
    },
  );

  test.skipIf(!canRun).each(rules.map(({ alert }) => alert))("%s tells two clusters apart", async (alert) => {
    const { fires: bad, staysQuiet: good, atMinutes = 60 } = CASES[alert] ?? { fires: {}, staysQuiet: {} };
    const healthy = inNamespace("healthy", ofOttla(good));
    const both = await firing(alert, { ...healthy, ...inNamespace("ill", ofOttla(bad)) }, atMinutes);
    expect([...both.matchAll(/namespace="(\w+)"/g)].map(([, name]) => name)).toEqual(["ill"]);
    const other = inNamespace("other", ofOttla(good));
    expect(await firing(alert, { ...healthy, ...other }, atMinutes)).toBe("");
  });

  const SHARED = ["OttlaEventLoopBlocked", "OttlaGarbageCollection", "OttlaGroupFallsBehind"];
  test.skipIf(!canRun).each([...SHARED, "OttlaGroupWithoutMembers", "OttlaNodeDown"])(
    "%s does not fire for another program",
    async (alert) => {
      const { fires: bad = {}, staysQuiet: good = {} } = CASES[alert] ?? {};
      const foreign = Object.entries(inNamespace("foreign", bad)).filter(([name]) => !name.includes("build"));
      const series = { ...inNamespace("ours", ofOttla(good)), ...Object.fromEntries(foreign) };
      expect(await firing(alert, series, 60)).toBe("");
    },
  );
});
