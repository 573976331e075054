import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Writes the dashboards for Grafana (`make dashboards`): what is on them stands here once, the JSON follows.
 */

interface Panel {
  readonly title: string;
  readonly unit: "short" | "Bps" | "bytes" | "s" | "percentunit" | "ops";
  /** PromQL, by legend. */
  readonly queries: Readonly<Record<string, string>>;
}

interface Dashboard {
  readonly name: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** What a query is summed up by; a namespace and a job are a cluster. */
const by = (...labels: readonly string[]): string => `by (${["namespace", "job", ...labels].join(", ")})`;

const quantile = (share: number, metric: string, ...labels: readonly string[]): string =>
  `histogram_quantile(${share}, sum ${by(...labels, "le")} (rate(${metric}_bucket[5m])))`;

const p99 = (metric: string, ...labels: readonly string[]): string => quantile(0.99, metric, ...labels);

const most = (query: string): string => `topk(20, ${query})`;

/** Other programs have series of these names too; what has ottla_build_info is a process of Ottla. */
const own = (series: string): string => `${series} and on (namespace, job, instance) ottla_build_info`;

const COLLECTING = "rate(nodejs_gc_duration_seconds_sum[5m])";

/** Every gateway tells of every partition: it counts once. */
const ofPartition = (series: string): string => `max by (namespace, job, topic, partition) (${own(series)})`;

const OVERVIEW: Dashboard = {
  name: "overview",
  title: "Ottla / Overview",
  panels: [
    panel("Active coordinators", "short", {
      "active {{job}}": "sum by (namespace, job) (ottla_coordinator_active_state)",
    }),
    panel("Partitions in trouble", "short", {
      "offline {{job}}": "max by (namespace, job) (ottla_coordinator_offline_partitions)",
      "under min ISR {{job}}": "max by (namespace, job) (ottla_coordinator_under_min_isr_partitions)",
      "under-replicated {{job}}": "max by (namespace, job) (ottla_coordinator_under_replicated_partitions)",
      "moving {{job}}": "max by (namespace, job) (ottla_coordinator_reassigning_partitions)",
    }),
    panel("Processes that answer", "short", {
      "{{job}}":
        "sum by (namespace, job) (up and on (namespace, job, instance) last_over_time(ottla_build_info[1h]))",
    }),
    panel("The cluster waits for `ottla cluster recover`", "short", {
      "{{job}}": "max by (namespace, job) (ottla_metadata_recovery_state)",
    }),
    panel("Bytes in and out", "Bps", {
      "in {{job}}": "sum by (namespace, job) (rate(ottla_gateway_received_bytes_total[5m]))",
      "out {{job}}": "sum by (namespace, job) (rate(ottla_gateway_sent_bytes_total[5m]))",
    }),
    panel("Batches acknowledged", "ops", {
      "batches {{job}}": "sum by (namespace, job) (rate(ottla_gateway_appended_batches_total[5m]))",
    }),
    panel("Time to acknowledge", "s", {
      "p50 {{job}}": quantile(0.5, "ottla_gateway_append_duration_seconds"),
      "p99 {{job}}": p99("ottla_gateway_append_duration_seconds"),
    }),
    panel("Appends that failed, by reason", "ops", {
      "{{reason}} {{job}}":
        "sum by (namespace, job, reason) (rate(ottla_gateway_failed_appends_total[5m])) or vector(0)",
    }),
    panel("Kafka requests, by API", "ops", {
      "{{api}} {{job}}":
        "sum by (namespace, job, api) (rate(ottla_gateway_kafka_request_duration_seconds_count[5m]))",
    }),
    panel("Kafka request time (p99), by API", "s", {
      "{{api}} {{job}}": p99("ottla_gateway_kafka_request_duration_seconds", "api"),
    }),
    panel("Errors in Kafka's answers, by API and code", "ops", {
      "{{api}} {{code}} {{job}}":
        "sum by (namespace, job, api, code) (rate(ottla_gateway_kafka_errors_total[5m])) or vector(0)",
    }),
    panel("gRPC calls, by method and code", "ops", {
      "{{method}} {{code}} {{job}}":
        "sum by (namespace, job, method, code) (rate(ottla_rpc_requests_total[5m]))",
    }),
    panel("gRPC call time (p99), by method", "s", {
      "{{method}} {{job}}": p99("ottla_rpc_request_duration_seconds", "method"),
    }),
    panel("Kafka connections", "short", { "{{instance}}": "ottla_gateway_kafka_connections" }),
    panel("etcd: time to answer (p99)", "s", {
      "{{operation}} {{job}}": p99("ottla_metadata_etcd_latency_seconds", "operation"),
    }),
  ],
};

const TOPICS: Dashboard = {
  name: "topics",
  title: "Ottla / Topics",
  panels: [
    panel("Bytes in, by topic", "Bps", {
      "{{topic}} {{job}}": most(
        "sum by (namespace, job, topic) (rate(ottla_gateway_received_bytes_total[5m]))",
      ),
    }),
    panel("Bytes out, by topic", "Bps", {
      "{{topic}} {{job}}": most("sum by (namespace, job, topic) (rate(ottla_gateway_sent_bytes_total[5m]))"),
    }),
    panel("Records in, by topic", "ops", {
      "{{topic}} {{job}}": most(
        `sum ${by("topic")} (${ofPartition("rate(kafka_topic_partition_current_offset[5m])")})`,
      ),
    }),
    panel("Records kept, by topic", "short", {
      "{{topic}} {{job}}":
        `topk(20, sum by (namespace, job, topic) (${ofPartition("kafka_topic_partition_current_offset")} - ` +
        `${ofPartition("kafka_topic_partition_oldest_offset")}))`,
    }),
    panel("Partitions, by topic", "short", {
      "{{topic}} {{job}}": `max by (namespace, job, topic) (${own("kafka_topic_partitions")})`,
    }),
    panel("Topics and partitions", "short", {
      "topics {{job}}": "max by (namespace, job) (ottla_coordinator_topics)",
      "partitions {{job}}": "max by (namespace, job) (ottla_coordinator_partitions)",
    }),
  ],
};

const GROUPS: Dashboard = {
  name: "groups",
  title: "Ottla / Consumer groups",
  panels: [
    panel("Lag in records, by group", "short", {
      "{{consumergroup}} {{job}}": most(`sum ${by("consumergroup")} (${own("kafka_consumergroup_lag")})`),
    }),
    panel("Lag in seconds, by group", "s", {
      "{{consumergroup}} {{job}}": most(
        `max ${by("consumergroup")} (${own("kafka_consumergroup_lag_seconds")})`,
      ),
    }),
    panel("Members, by group", "short", {
      "{{consumergroup}} {{job}}": `sum ${by("consumergroup")} (${own("kafka_consumergroup_members")})`,
    }),
    panel("Records consumed, by group", "ops", {
      "{{consumergroup}} {{job}}": most(
        `sum ${by("consumergroup")} (${own("rate(kafka_consumergroup_current_offset[5m])")})`,
      ),
    }),
    panel("Groups, by node", "short", { "{{instance}}": "ottla_group_coordinator_groups" }),
    panel("Owned partitions of the groups' topic", "short", {
      "{{instance}}": "ottla_group_coordinator_owned_partitions",
      "loading on {{instance}}": "ottla_group_coordinator_loading_partitions",
    }),
    panel("What members of groups hold, by node", "bytes", {
      "{{instance}}": "ottla_group_coordinator_member_bytes",
      "limit of {{instance}}": "ottla_group_coordinator_member_limit_bytes",
    }),
  ],
};

const NODES: Dashboard = {
  name: "nodes",
  title: "Ottla / Nodes",
  panels: [
    panel("Leaders, by storage node", "short", { "{{instance}}": "ottla_partition_storage_leaders" }),
    panel("Partitions that another than their preferred leader leads", "short", {
      "partitions {{job}}": "max by (namespace, job) (ottla_coordinator_leader_imbalance_partitions)",
    }),
    panel("Replicas, by storage node", "short", { "{{instance}}": "ottla_partition_storage_partitions" }),
    panel("ISR changes", "ops", {
      "{{change}} on {{instance}}":
        "sum by (namespace, job, instance, change) (rate(ottla_partition_storage_isr_changes_total[5m]))",
    }),
    panel("Lag of the slowest in-sync follower", "short", {
      "{{instance}}": "ottla_partition_storage_max_follower_lag_records",
    }),
    panel("Replication", "Bps", {
      "from {{instance}}":
        "sum by (namespace, job, instance) (rate(ottla_partition_storage_replication_sent_bytes_total[5m]))",
      "catching up on {{instance}}":
        `sum ${by("instance")} ` +
        "(rate(ottla_partition_storage_replication_catch_up_received_bytes_total[5m]))",
    }),
    panel("Time of an append at its leader (p99)", "s", {
      "{{instance}}": p99("ottla_partition_storage_append_duration_seconds", "instance"),
    }),
    panel("Log write and sync time (p99)", "s", {
      "write {{instance}}": p99("ottla_partition_storage_log_write_duration_seconds", "instance"),
      "sync {{instance}}": p99("ottla_partition_storage_log_sync_duration_seconds", "instance"),
    }),
    panel("Free disk", "bytes", { "{{instance}}": "ottla_partition_storage_disk_free_bytes" }),
    panel("Disk in use", "percentunit", {
      "{{instance}}":
        "1 - ottla_partition_storage_disk_free_bytes / ottla_partition_storage_disk_total_bytes",
    }),
    // Where nothing fills up it is far away: the pace is at least one byte a second.
    panel("Time until the disk is full, at the pace of the last hour", "s", {
      "{{instance}}":
        "ottla_partition_storage_disk_free_bytes / " +
        "clamp_min(-deriv(ottla_partition_storage_disk_free_bytes[1h]), 1)",
    }),
    panel("Free disk in a day, at the present pace", "bytes", {
      "{{instance}}": "predict_linear(ottla_partition_storage_disk_free_bytes[1h], 86400)",
    }),
    panel("CPU", "percentunit", { "{{instance}}": own("rate(process_cpu_seconds_total[5m])") }),
    panel("Memory", "bytes", { "{{instance}}": own("process_resident_memory_bytes") }),
    panel("Event loop delay (p99)", "s", { "{{instance}}": own("nodejs_eventloop_lag_p99_seconds") }),
    panel("Time in garbage collection", "percentunit", {
      "{{instance}} {{kind}}": `sum ${by("instance", "kind")} (${own(COLLECTING)})`,
    }),
  ],
};

export const DASHBOARDS: readonly Dashboard[] = [OVERVIEW, TOPICS, GROUPS, NODES];

function panel(title: string, unit: Panel["unit"], queries: Panel["queries"]): Panel {
  return { title, unit, queries };
}

const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

/** Everything of Ottla, unless the reader chooses: a namespace and a job are a cluster. */
function variable(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: "query",
    datasource: DATASOURCE,
    query: { query, refId: name },
    definition: query,
    // At each change of the time range.
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    // Matches too what has no such label.
    allValue: ".*",
    current: { text: "All", value: "$__all" },
  };
}

/** The query with what the reader has chosen, at each of its metrics. */
function chosen(query: string): string {
  const metric = /\b(?:(?:ottla|kafka|nodejs|process)_[a-z0-9_]+|up\b)(\{)?/g;
  return query.replace(metric, (name, labels) => {
    if (labels !== undefined) throw new Error(`${name}: a query with labels of its own is not foreseen`);
    return `${name}{namespace=~"$namespace",job=~"$job"}`;
  });
}

const COLUMNS = 2;
const WIDTH = 24 / COLUMNS;
const HEIGHT = 8;

function asGrafana({ name, title, panels }: Dashboard): object {
  const datasource = DATASOURCE;
  return {
    uid: `ottla-${name}`,
    title,
    tags: ["ottla"],
    timezone: "browser",
    schemaVersion: 39,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
        variable("namespace", "Namespace", "label_values(ottla_build_info, namespace)"),
        variable("job", "Job", 'label_values(ottla_build_info{namespace=~"$namespace"}, job)'),
      ],
    },
    panels: panels.map((one, index) => ({
      id: index + 1,
      type: "timeseries",
      title: one.title,
      datasource,
      gridPos: {
        x: (index % COLUMNS) * WIDTH,
        y: Math.floor(index / COLUMNS) * HEIGHT,
        w: WIDTH,
        h: HEIGHT,
      },
      fieldConfig: { defaults: { unit: one.unit, min: 0 }, overrides: [] },
      options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi" } },
      targets: Object.entries(one.queries).map(([legendFormat, expr], target) => ({
        refId: String.fromCharCode(65 + target),
        datasource,
        expr: chosen(expr),
        legendFormat,
      })),
    })),
  };
}

if (process.argv[1] === import.meta.filename) {
  const directory = fileURLToPath(new URL("../charts/ottla/files/dashboards", import.meta.url));
  await mkdir(directory, { recursive: true });
  for (const dashboard of DASHBOARDS) {
    const path = join(directory, `${dashboard.name}.json`);
    await writeFile(path, `${JSON.stringify(asGrafana(dashboard), null, 2)}\n`);
  }
}
