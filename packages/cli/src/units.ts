import { usageError } from "./exit-codes.ts";

const SIZES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1000,
  kib: 1024,
  m: 1_000_000,
  mb: 1_000_000,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gib: 1024 ** 3,
};

/** A number of bytes such as 1024, 64KiB or 10GB. */
export function parseBytes(option: string, text: string): number {
  const match = /^(\d+)\s*([a-z]*)$/i.exec(text);
  const unit = SIZES[match?.[2]?.toLowerCase() ?? "?"];
  const value = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!Number.isSafeInteger(value))
    throw usageError(`${option} ${text}: must be bytes, such as 1024, 64KiB or 10GB`);
  return value;
}

export function parseCount(option: string, text: string, min = 0): number {
  const value = /^[\d_]+$/.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < min) {
    throw usageError(`${option} ${text}: must be a whole number from ${min}`);
  }
  return value;
}

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** "1 record", "2,000 records". */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${Math.round(count) === 1 ? "" : "s"}`;
}

/** Decimal units, as networks and disks are sold. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

export function formatSeconds(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
