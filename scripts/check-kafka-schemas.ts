// Compares our Kafka schemas with a file of protocol facts, version by version, and lists every difference.
// Usage: sh scripts/node.sh scripts/check-kafka-schemas.ts FACTS.json
//
// A fact is [name, type, versions, {nullableVersions, taggedVersions, tag, default, fields}].
import { readFileSync } from "node:fs";
import { allApis } from "../packages/kafka-protocol/src/apis/all.ts";
import {
  defaultOf,
  type Field,
  type Fields,
  type FieldType,
} from "../packages/kafka-protocol/src/codec/field.ts";
import {
  includesVersion,
  parseVersions,
  type VersionText,
} from "../packages/kafka-protocol/src/codec/versions.ts";

type Fact = [name: string, type: string, versions: VersionText, options?: FactOptions];
interface FactOptions {
  nullableVersions?: VersionText;
  taggedVersions?: VersionText;
  tag?: number;
  default?: string | number | boolean | null;
  fields?: Fact[];
}
interface MessageFacts {
  type: string;
  apiKey?: number;
  flexibleVersions: VersionText | "none";
  fields: Fact[];
  structs?: Record<string, { fields: Fact[] }>;
}

/** One line of a message's layout in one version: what stands on the wire, in order. */
type Layout = string[];

function factLayout(facts: readonly Fact[], message: MessageFacts, version: number, path = ""): Layout {
  return facts.flatMap(([name, type, versions, options = {}]) => {
    if (!includesVersion(parseVersions(versions), version)) return [];
    const base = type.replace(/^\[\]/, "");
    const inner = options.fields ?? message.structs?.[base]?.fields;
    const shape = `${type.startsWith("[]") ? "[]" : ""}${inner === undefined ? base : "struct"}`;
    const nullable = inVersions(options.nullableVersions, version);
    const tag = inVersions(options.taggedVersions, version) ? options.tag : undefined;
    const here = `${path}.${name.charAt(0).toLowerCase()}${name.slice(1)}`;
    const fallback =
      inner === undefined && !type.startsWith("[]") ? ` = ${factDefault(options.default, base)}` : "";
    const line = `${here}: ${shape}${nullable ? "?" : ""}${tag === undefined ? "" : ` #${tag}`}${fallback}`;
    return [line, ...(inner === undefined ? [] : factLayout(inner, message, version, here))];
  });
}

function inVersions(text: VersionText | undefined, version: number): boolean {
  return text !== undefined && includesVersion(parseVersions(text), version);
}

function factDefault(value: FactOptions["default"], type: string): string {
  if (value === "null" || value === null) return "null";
  if (type === "string") return JSON.stringify(value ?? "");
  if (type === "bool") return String(value ?? false);
  if (type === "uuid" || type === "bytes" || type === "records") return "empty";
  return String(Number(value ?? 0));
}

function ourLayout(fields: Fields, version: number, path = ""): Layout {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (!includesVersion(field.options.versions, version)) return [];
    const inner = structOf(field.type);
    const isArray = field.type.kind === "array";
    const base = field.type.kind === "array" ? field.type.element.kind : field.type.kind;
    const nullable = includesVersion(field.options.nullable, version);
    const tag = includesVersion(field.options.tagged, version) ? field.options.tag : undefined;
    const here = `${path}.${name}`;
    const fallback = inner === undefined && !isArray ? ` = ${ourDefault(field)}` : "";
    const shape = `${isArray ? "[]" : ""}${base}`;
    const line = `${here}: ${shape}${nullable ? "?" : ""}${tag === undefined ? "" : ` #${tag}`}${fallback}`;
    return [line, ...(inner === undefined ? [] : ourLayout(inner, version, here))];
  });
}

function structOf(type: FieldType): Fields | undefined {
  if (type.kind === "struct") return type.fields;
  return type.kind === "array" ? structOf(type.element) : undefined;
}

function ourDefault(field: Field<unknown, unknown>): string {
  if (field.type.kind === "uuid" || field.type.kind === "bytes" || field.type.kind === "records")
    return "empty";
  const value = defaultOf(field);
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

const path = process.argv[2];
if (path === undefined) throw new Error("usage: check-kafka-schemas.ts FACTS.json");
const facts = JSON.parse(readFileSync(path, "utf8")) as Record<string, MessageFacts>;
let compared = 0;
let differences = 0;

for (const api of allApis) {
  for (const direction of ["request", "response"] as const) {
    const name = `${api.name}${direction === "request" ? "Request" : "Response"}`;
    const message = facts[name];
    if (message === undefined || message.apiKey !== api.key) {
      process.stdout.write(`${name}: no such message with key ${api.key} in the facts\n`);
      differences++;
      continue;
    }
    for (let version = api.versions.from; version <= api.versions.to; version++) {
      compared++;
      const flexible = message.flexibleVersions !== "none" && inVersions(message.flexibleVersions, version);
      const theirs = [`flexible: ${flexible}`, ...factLayout(message.fields, message, version)];
      const ours = [`flexible: ${api.isFlexible(version)}`, ...ourLayout(api[direction], version)];
      for (let line = 0; line < Math.max(theirs.length, ours.length); line++) {
        if (theirs[line] === ours[line]) continue;
        process.stdout.write(
          `${name} v${version}: the facts say "${theirs[line]}", we say "${ours[line]}"\n`,
        );
        differences++;
        break;
      }
    }
  }
}
process.stdout.write(`${compared} versions of messages compared, ${differences} differ\n`);
if (differences > 0) process.exitCode = 1;
