import * as z from "zod";
import { type SettingFacts, settingFacts } from "./setting-kinds.ts";
import { settingsSchema } from "./settings-schema.ts";

/** One setting with all its names, derived from its place in the schema. */
export interface SettingDefinition extends SettingFacts {
  /** ["grpc", "maxConnections"] */
  readonly path: readonly string[];
  /** "grpc.maxConnections": its name in the program. */
  readonly name: string;
  /** "--grpc-max-connections" */
  readonly flagName: string;
  /** "OTTLA_GRPC_MAX_CONNECTIONS" */
  readonly environmentName: string;
  /** "grpc.max-connections" */
  readonly yamlPath: string;
  /** The heading it stands under. */
  readonly heading: string;
  readonly schema: z.ZodType;
}

const HEADINGS: Readonly<Record<string, string>> = {
  grpc: "gRPC",
  http: "HTTP",
  log: "Logging",
  shutdown: "Shutdown",
  storage: "Storage",
  cluster: "Cluster",
  internal: "Between nodes",
  etcd: "etcd",
};

const WORD_START = /[A-Z]/g;

function toKebabCase(camelCase: string): string {
  return camelCase.replaceAll(WORD_START, (letter) => `-${letter.toLowerCase()}`);
}

function define(path: readonly string[], schema: z.ZodType, facts: SettingFacts): SettingDefinition {
  const words = path.map(toKebabCase);
  return {
    ...facts,
    path,
    schema,
    name: path.join("."),
    flagName: `--${facts.flag ?? words.join("-")}`,
    environmentName: `OTTLA_${words.join("_").replaceAll("-", "_").toUpperCase()}`,
    yamlPath: words.join("."),
    heading: facts.section ?? HEADINGS[path[0] ?? ""] ?? path[0] ?? "",
  };
}

function collect(object: z.ZodObject, parents: readonly string[]): SettingDefinition[] {
  return Object.entries(object.shape).flatMap(([key, child]) => {
    const path = [...parents, key];
    if (child instanceof z.ZodObject) return collect(child, path);
    const schema = child as z.ZodType;
    const facts = settingFacts.get(schema);
    if (facts === undefined) throw new TypeError(`setting ${path.join(".")} has no registered facts`);
    return [define(path, schema, facts)];
  });
}

/** All settings, in the order of the schema. */
export const settingDefinitions: readonly SettingDefinition[] = collect(settingsSchema, []);

/** The names of the groups of settings in a YAML file: grpc, http, … */
export const settingGroups: readonly string[] = [
  ...new Set(settingDefinitions.filter(({ path }) => path.length > 1).map(({ path }) => path[0] ?? "")),
];
