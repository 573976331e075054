import { CliError, ExitCode } from "../exit-codes.ts";

export interface JsonRecord {
  readonly key: Uint8Array | string | null;
  readonly value: Uint8Array | string | null;
  readonly headers: { key: string; value: Uint8Array | string | null }[] | undefined;
  readonly partition: number | undefined;
  readonly timestampMs: number | undefined;
}

/** What `consume --json` adds and `produce` has no use for. */
const IGNORED = new Set(["topic", "offset"]);
const KNOWN = new Set(["key", "keyBase64", "value", "valueBase64", "headers", "partition", "timestamp"]);

/**
 * One line of NDJSON: `{"key", "value", "headers", "partition", "timestamp"}`, all but the
 * value optional. Texts are sent as UTF-8, `keyBase64` and `valueBase64` as the bytes they
 * stand for, objects and numbers as their JSON. This is what `ottla consume --json` writes.
 */
export function parseJsonRecord(line: Uint8Array, lineNumber: number): JsonRecord {
  const fail = (problem: string) => new CliError(ExitCode.failed, `line ${lineNumber}: ${problem}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString("utf8"));
  } catch (thrown) {
    throw fail(`not valid JSON: ${(thrown as Error).message}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw fail('a record must be an object such as {"key": "k", "value": "v"}');
  }
  const fields = parsed as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!KNOWN.has(name) && !IGNORED.has(name)) {
      throw fail(`unknown field "${name}"; known are ${[...KNOWN].join(", ")}`);
    }
  }
  if (!("value" in fields) && !("valueBase64" in fields))
    throw fail('the field "value" is missing (it may be null)');
  return {
    key: bytesOf(fields, "key", fail) ?? null,
    value: bytesOf(fields, "value", fail) ?? null,
    headers: headersOf(fields["headers"], fail),
    partition: wholeNumberOf(fields["partition"], "partition", fail),
    timestampMs: wholeNumberOf(fields["timestamp"], "timestamp", fail),
  };
}

type Fail = (problem: string) => CliError;

function bytesOf(
  fields: Record<string, unknown>,
  name: string,
  fail: Fail,
): Uint8Array | string | null | undefined {
  const base64 = fields[`${name}Base64`];
  if (base64 !== undefined) {
    if (typeof base64 !== "string") throw fail(`${name}Base64 must be a text`);
    return Buffer.from(base64, "base64");
  }
  const value = fields[name];
  if (value === undefined || value === null || typeof value === "string") return value;
  return JSON.stringify(value);
}

function headersOf(value: unknown, fail: Fail): JsonRecord["headers"] {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return value.map((header) => headerOf(header, fail));
  if (typeof value !== "object") throw fail("headers must be an object, or a list of {key, value}");
  return Object.entries(value).map(([key, text]) => headerOf({ key, value: text as unknown }, fail));
}

function headerOf(header: unknown, fail: Fail): { key: string; value: Uint8Array | string | null } {
  if (typeof header !== "object" || header === null) throw fail("a header must be {key, value}");
  const fields = header as Record<string, unknown>;
  const { key } = fields;
  if (typeof key !== "string") throw fail("a header's key must be a text");
  return { key, value: bytesOf(fields, "value", fail) ?? null };
}

function wholeNumberOf(value: unknown, name: string, fail: Fail): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw fail(`${name} must be a whole number from 0, not ${JSON.stringify(value)}`);
  }
  return value;
}
