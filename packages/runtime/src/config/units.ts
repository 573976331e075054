/**
 * Reading and writing of byte sizes ("64MiB") and durations ("30s"), as settings and the command line use
 * them.
 */

const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  ki: 2 ** 10,
  kib: 2 ** 10,
  mi: 2 ** 20,
  mib: 2 ** 20,
  gi: 2 ** 30,
  gib: 2 ** 30,
  ti: 2 ** 40,
  tib: 2 ** 40,
};

const DURATION_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const QUANTITY = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/;
const LONGEST_QUANTITY = 40;

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  // The length is bounded first, so that the expression never meets a long hostile string.
  const match = text.length > LONGEST_QUANTITY ? null : QUANTITY.exec(text.trim());
  if (match === null) return undefined;
  const unit = (match[2] ?? "").toLowerCase();
  if (!Object.hasOwn(units, unit)) return undefined;
  const value = Number(match[1]) * (units[unit] ?? Number.NaN);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * "64MiB", "64Mi" (as Kubernetes writes it), "64MB" (decimal), "1.5GiB" or plain bytes; any case. Undefined
 * when it is none of these or no whole number of bytes. A bare "64M" is refused, because people disagree on
 * what it means.
 */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, BYTE_UNITS);
}

/** "500ms", "30s", "5m", "1h", "7d" or plain milliseconds. Undefined when it is none of these. */
export function parseDurationMs(text: string): number | undefined {
  return parseQuantity(text, DURATION_UNITS);
}

function formatQuantity(value: number, units: readonly (readonly [string, number])[]): string {
  for (const [unit, size] of units) {
    if (value >= size && value % size === 0) return `${value / size}${unit}`;
  }
  return String(value);
}

/** The shortest exact form: 67108864 is "64MiB", 1000 is "1000". */
export function formatBytes(bytes: number): string {
  return formatQuantity(bytes, [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ]);
}

/** The shortest exact form: 30000 is "30s", 1500 is "1500ms". */
export function formatDurationMs(durationMs: number): string {
  return formatQuantity(durationMs, [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
    ["ms", 1],
  ]);
}
