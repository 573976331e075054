import * as z from "zod";
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from "./units.ts";

/**
 * The kinds of values a setting can have. Each function returns a zod schema that reads what a flag, an
 * environment variable (both text) or a YAML file (text, number, boolean, list, map) holds, and registers the
 * facts that help and reference are generated from. Every refusal is worded as what is expected, with the
 * limits in it.
 */

export type SettingKind =
  | "whole number"
  | "ratio"
  | "bytes"
  | "duration"
  | "text"
  | "choice"
  | "boolean"
  | "list"
  | "map";

/** What a setting says about itself beside its value. */
export interface SettingWords {
  /** Sentences for a reader who runs Ottla. The first one alone must do as the help text. */
  readonly documentation: string;
  /** The heading it stands under, when it is not in a group of its own. */
  readonly section?: string;
  /** The targets it concerns; all when left out. */
  readonly targets?: readonly string[];
  /** Never printed: not in logs, not in refusals. */
  readonly secret?: boolean;
  /** The flag's name without "--", when it does not follow from the setting's name. */
  readonly flag?: string;
  /** Describes the default where it is computed at start. */
  readonly defaultDocumentation?: string;
}

export interface SettingFacts extends SettingWords {
  readonly kind: SettingKind;
  /** "a whole number from 0 to 65535": completes both "Must be …" and "is not …". */
  readonly expected: string;
  /** The default as a person would write it; undefined when there is none. */
  readonly defaultText: string | undefined;
  readonly format: (value: unknown) => string;
}

export const settingFacts = z.registry<SettingFacts>();

interface Range {
  readonly min: number;
  readonly max: number;
}

function register<T extends z.ZodType>(schema: T, facts: SettingFacts): T {
  settingFacts.add(schema, facts);
  return schema;
}

function ranged(expected: string, range: Range): z.ZodInt {
  return z.int(expected).min(range.min, expected).max(range.max, expected);
}

function fromText(parse: (text: string) => number | undefined): (raw: unknown) => unknown {
  return (raw) => (typeof raw === "string" ? parse(raw) : raw);
}

const WHOLE_NUMBER = /^-?\d{1,16}$/;

function parseWholeNumber(text: string): number | undefined {
  return WHOLE_NUMBER.test(text.trim()) ? Number(text) : undefined;
}

export function wholeNumber(options: SettingWords & Range & { readonly default: number }) {
  const expected = `a whole number from ${options.min} to ${options.max}`;
  const schema = z.preprocess(fromText(parseWholeNumber), ranged(expected, options)).default(options.default);
  const defaultText = String(options.default);
  return register(schema, { ...options, kind: "whole number", expected, defaultText, format: String });
}

/** A whole number whose default is computed while the program runs: undefined unless somebody sets it. */
export function optionalWholeNumber(
  options: SettingWords & Range & { readonly defaultDocumentation: string },
) {
  const expected = `a whole number from ${options.min} to ${options.max}`;
  const schema = z.preprocess(fromText(parseWholeNumber), ranged(expected, options)).optional();
  const format = (value: unknown): string => (typeof value === "number" ? String(value) : "");
  return register(schema, { ...options, kind: "whole number", expected, defaultText: undefined, format });
}

/** A whole number, or "auto", which the program replaces at start. */
export function wholeNumberOrAuto(
  options: SettingWords & Range & { readonly default: number; readonly auto: number },
) {
  const expected = `a whole number from ${options.min} to ${options.max}, or auto`;
  const read = (raw: unknown): unknown => {
    if (raw === "auto") return options.auto;
    const number = typeof raw === "string" ? parseWholeNumber(raw) : raw;
    return number === options.auto && raw !== options.auto ? raw : number;
  };
  // What was read is checked once more together with the other settings: "auto" is a number by then.
  const number = z.union([ranged(expected, options), z.literal(options.auto, expected)], expected);
  const schema = z.preprocess(read, number).default(options.default);
  const format = (value: unknown): string => (value === options.auto ? "auto" : String(value));
  const defaultText = String(options.default);
  return register(schema, { ...options, kind: "whole number", expected, defaultText, format });
}

const RATIO = /^(?:0|1|0?\.\d{1,9}|[01]\.0+)$/;

/** A share from 0 to 1. */
export function ratio(options: SettingWords & { readonly default: number }) {
  const expected = "a number from 0 to 1";
  const parse = (text: string): number | undefined => (RATIO.test(text.trim()) ? Number(text) : undefined);
  const number = z.number(expected).min(0, expected).max(1, expected);
  const schema = z.preprocess(fromText(parse), number).default(options.default);
  const defaultText = String(options.default);
  return register(schema, { ...options, kind: "ratio", expected, defaultText, format: String });
}

export function port(options: SettingWords & { readonly default: number }) {
  return wholeNumber({ ...options, min: 0, max: 65_535 });
}

const formatBytesValue = (value: unknown): string => (typeof value === "number" ? formatBytes(value) : "");

function bytesSchema(options: Range) {
  const expected = `a size from ${formatBytes(options.min)} to ${formatBytes(options.max)}, such as 64MiB`;
  return { expected, schema: z.preprocess(fromText(parseBytes), ranged(expected, options)) };
}

export function bytes(options: SettingWords & Range & { readonly default: number }) {
  const { expected, schema } = bytesSchema(options);
  const defaultText = formatBytes(options.default);
  const facts: SettingFacts = { ...options, kind: "bytes", expected, defaultText, format: formatBytesValue };
  return register(schema.default(options.default), facts);
}

/** A size whose default is computed at start: undefined unless somebody sets it. */
export function optionalBytes(options: SettingWords & Range & { readonly defaultDocumentation: string }) {
  const { expected, schema } = bytesSchema(options);
  const facts = {
    ...options,
    kind: "bytes",
    expected,
    defaultText: undefined,
    format: formatBytesValue,
  } as const;
  return register(schema.optional(), facts);
}

function durationSchema(range: Range) {
  const shortest = formatDurationMs(range.min);
  const expected = `a duration from ${shortest} to ${formatDurationMs(range.max)}, such as 30s or 500ms`;
  return { expected, schema: z.preprocess(fromText(parseDurationMs), ranged(expected, range)) };
}

const formatDuration = (value: unknown): string => (typeof value === "number" ? formatDurationMs(value) : "");

export function durationMs(options: SettingWords & Range & { readonly default: number }) {
  const { expected, schema } = durationSchema(options);
  const defaultText = formatDurationMs(options.default);
  return register(schema.default(options.default), {
    ...options,
    kind: "duration",
    expected,
    defaultText,
    format: formatDuration,
  });
}

export function optionalDurationMs(
  options: SettingWords & Range & { readonly defaultDocumentation: string },
) {
  const { expected, schema } = durationSchema(options);
  return register(schema.optional(), {
    ...options,
    kind: "duration",
    expected,
    defaultText: undefined,
    format: formatDuration,
  });
}

interface TextOptions extends SettingWords {
  readonly pattern: RegExp;
  readonly maxLength: number;
  /** What the pattern and the length mean, in words. */
  readonly expected: string;
  /** Makes another way to write a value into the one that the pattern is for. */
  readonly prepare?: (text: string) => string;
}

// A YAML file may hold `zone: 1`, which the reader of the file means as text.
const textOfScalar = (raw: unknown): unknown => (typeof raw === "number" ? String(raw) : raw);

function textSchema(options: TextOptions) {
  const { expected, prepare } = options;
  const text = z.string(expected).max(options.maxLength, { error: expected, abort: true });
  const prepared = (raw: unknown): unknown => {
    const scalar = textOfScalar(raw);
    return typeof scalar === "string" && prepare !== undefined ? prepare(scalar) : scalar;
  };
  return z.preprocess(prepared, text.regex(options.pattern, expected));
}

export function text(options: TextOptions & { readonly default: string }) {
  const schema = textSchema(options).default(options.default);
  return register(schema, { ...options, kind: "text", defaultText: options.default, format: String });
}

export function optionalText(options: TextOptions) {
  const format = (value: unknown): string => (typeof value === "string" ? value : "");
  return register(textSchema(options).optional(), {
    ...options,
    kind: "text",
    defaultText: undefined,
    format,
  });
}

export function choice<const T extends readonly [string, ...string[]]>(
  values: T,
  options: SettingWords & { readonly default: T[number] },
) {
  const expected = `one of ${values.join(", ")}`;
  const schema = z.enum(values, expected).default(options.default as z.util.NoUndefined<T[number]>);
  return register(schema, {
    ...options,
    kind: "choice",
    expected,
    defaultText: options.default,
    format: String,
  });
}

const BOOLEANS: ReadonlyMap<unknown, boolean> = new Map([
  ["true", true],
  ["false", false],
]);

export function boolean(options: SettingWords & { readonly default: boolean }) {
  const expected = "true or false";
  const schema = z
    .preprocess((raw) => BOOLEANS.get(raw) ?? raw, z.boolean(expected))
    .default(options.default);
  const defaultText = String(options.default);
  return register(schema, { ...options, kind: "boolean", expected, defaultText, format: String });
}

const splitList = (raw: unknown): unknown =>
  typeof raw === "string" ? raw.split(",").map((part) => part.trim()) : raw;

/** A comma-separated list of some of `values`, or "all", which stands for every one of them. */
export function someOf<const T extends readonly [string, ...string[]]>(values: T, options: SettingWords) {
  const expected = `all, or a comma-separated list of ${values.join(", ")}`;
  const list = z
    .array(z.enum(values, expected), expected)
    .min(1, expected)
    .refine((items) => new Set(items).size === items.length, expected);
  const read = (raw: unknown): unknown => {
    const items = splitList(raw);
    return Array.isArray(items) && items.length === 1 && items[0] === "all" ? [...values] : items;
  };
  const format = (value: unknown): string => {
    if (!Array.isArray(value)) return "";
    return value.length === values.length ? "all" : value.join(",");
  };
  const schema = z.preprocess(read, list).default([...values]);
  return register(schema, { ...options, kind: "list", expected, defaultText: "all", format });
}

const MAX_LIST_ITEMS = 32;

/** A comma-separated list of texts that all fit the pattern; empty by default. */
export function textList(options: TextOptions & { readonly defaultDocumentation: string }) {
  const expected = `${options.expected} (at most ${MAX_LIST_ITEMS}, comma-separated)`;
  const item = z.string(expected).max(options.maxLength, { error: expected, abort: true });
  const list = z.array(item.regex(options.pattern, expected), expected).max(MAX_LIST_ITEMS, expected);
  const read = (raw: unknown): unknown => (raw === "" ? [] : splitList(raw));
  const format = (value: unknown): string => (Array.isArray(value) ? value.join(",") : "");
  const schema = z.preprocess(read, list).default([]);
  return register(schema, { ...options, kind: "list", expected, defaultText: undefined, format });
}

const MAX_MAP_ENTRIES = 100;
const TOPIC_SETTING_NAME = /^[a-z][a-z0-9]*(\.[a-z0-9]+)*$/;

/** Splits "a=1,b=x,y" into pairs; a part without "=" belongs to the value before it, as in cleanup.policy. */
function splitPairs(text: string): unknown {
  const pairs: [string, string][] = [];
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const last = pairs.at(-1);
    if (equals > 0) pairs.push([part.slice(0, equals).trim(), part.slice(equals + 1).trim()]);
    else if (equals < 0 && last !== undefined) last[1] += `,${part.trim()}`;
    else return text;
  }
  return Object.fromEntries(pairs);
}

function scalarsToText(raw: unknown): unknown {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return raw;
  const asText = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.join(",");
    return typeof value === "number" || typeof value === "boolean" ? String(value) : value;
  };
  // zod passes over a key of this name in silence, where any other name that is none is refused.
  if (Object.hasOwn(raw, "__proto__")) return undefined;
  return Object.fromEntries(Object.entries(raw).map(([key, value]) => [key, asText(value)]));
}

/**
 * A map of Kafka topic settings. Only its form is checked here: what the names mean, packages/metadata knows.
 */
export function topicSettings(options: SettingWords) {
  const expected = `topic settings such as retention.ms=3600000 (at most ${MAX_MAP_ENTRIES})`;
  const name = z.string().max(100, { error: expected, abort: true }).regex(TOPIC_SETTING_NAME, expected);
  const map = z
    .record(name, z.string(expected).max(1_000, expected), expected)
    .refine((entries) => Object.keys(entries).length <= MAX_MAP_ENTRIES, expected);
  const read = (raw: unknown): unknown => scalarsToText(typeof raw === "string" ? splitPairs(raw) : raw);
  const format = (value: unknown): string =>
    Object.entries(value ?? {})
      .map(([key, entry]) => `${key}=${String(entry)}`)
      .join(",");
  const schema = z.preprocess(read, map).default({});
  return register(schema, { ...options, kind: "map", expected, defaultText: undefined, format });
}
