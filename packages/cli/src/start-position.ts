import { usageError } from "./exit-codes.ts";

/** What `-o` says. */
export type StartPosition =
  | { readonly kind: "earliest" }
  | { readonly kind: "latest" }
  | { readonly kind: "offset"; readonly offset: number }
  /** That many records before the end of each partition. */
  | { readonly kind: "before-end"; readonly count: number }
  | { readonly kind: "time"; readonly timestampMs: number };

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses `start`, `end`, `N`, `-N` and `@time` (milliseconds, ISO 8601, or a time ago such as `@-15m`). */
export function parseStartPosition(
  text: string,
  nowMs: number,
  refusal = `-o ${text}: must be start, end, an offset, -N for the last N records, or @time`,
): StartPosition {
  if (text === "start" || text === "beginning" || text === "earliest") return { kind: "earliest" };
  if (text === "end" || text === "latest") return { kind: "latest" };
  if (text.startsWith("@")) return { kind: "time", timestampMs: parseTime(text.slice(1), nowMs) };
  const number = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) {
    throw usageError(refusal);
  }
  return text.startsWith("-") ? { kind: "before-end", count: -number } : { kind: "offset", offset: number };
}

export function parseTime(text: string, nowMs: number): number {
  if (/^\d+$/.test(text)) return Number(text);
  const ago = /^-(\d+)(ms|s|m|h|d)$/.exec(text);
  if (ago?.[1] !== undefined && ago[2] !== undefined) {
    return Math.max(0, nowMs - Number(ago[1]) * (UNITS_MS[ago[2]] ?? 0));
  }
  const parsed = Date.parse(text);
  if (Number.isNaN(parsed) || parsed < 0) {
    throw usageError(
      `time "${text}": must be milliseconds since 1970, a time such as 2026-01-31T12:00:00Z, or -15m for 15 minutes ago`,
    );
  }
  return parsed;
}
