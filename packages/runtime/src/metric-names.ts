export type MetricKind = "counter" | "gauge" | "histogram" | "summary";

/**
 * Names that others chose and dashboards expect: Prometheus' own for processes, and those of kafka_exporter.
 */
const WELL_KNOWN = /^(?:process|nodejs|kafka_(?:brokers?|topic_partitions?|consumergroup))(?:_[a-z0-9]+)*$/;
const OURS = /^ottla(?:_[a-z][a-z0-9]*){2,}$/;

/** Last words that are no plural noun and still name a unit. */
const SINGULAR_UNITS = new Set(["info", "ratio", "offset", "epoch", "revision", "lag", "state", "timestamp"]);
/** Units that Prometheus' conventions replace by a base unit. */
const REPLACED_UNITS: Readonly<Record<string, string>> = {
  ms: "seconds",
  milliseconds: "seconds",
  microseconds: "seconds",
  nanoseconds: "seconds",
  minutes: "seconds",
  hours: "seconds",
  kilobytes: "bytes",
  megabytes: "bytes",
  mebibytes: "bytes",
  percent: "ratio",
  percents: "ratio",
};

function faultOf(name: string, kind: MetricKind): string | undefined {
  if (WELL_KNOWN.test(name)) return undefined;
  if (!OURS.test(name)) return "must read ottla_<service>_<thing>_<unit>[_total] in lower-case words";
  const words = name.split("_");
  const isTotal = words.at(-1) === "total";
  if (isTotal !== (kind === "counter")) return "must end in _total if it is a counter, and only then";
  const unit = words.at(isTotal ? -2 : -1) ?? "";
  const base = REPLACED_UNITS[unit];
  if (base !== undefined) return `must be in ${base}, not ${unit}`;
  if (!unit.endsWith("s") && !SINGULAR_UNITS.has(unit)) {
    const singulars = [...SINGULAR_UNITS].join(", ");
    return `must end in its unit: a plural (seconds, bytes, requests) or one of ${singulars}`;
  }
  return undefined;
}

/** Throws a `TypeError` when a metric's name breaks the rule `ottla_<service>_<thing>_<unit>[_total]`. */
export function checkMetricName(name: string, kind: MetricKind): void {
  const fault = faultOf(name, kind);
  if (fault !== undefined) throw new TypeError(`metric ${name} (${kind}): its name ${fault}`);
}
