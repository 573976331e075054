import { OttlaError } from "@ottla/errors";
import type * as z from "zod";
import { type Environment, readEnvironment } from "./environment.ts";
import { readFlags } from "./flags.ts";
import { type SettingDefinition, settingDefinitions } from "./setting-list.ts";
import { type GivenSetting, type SourceReading, showValue } from "./setting-source.ts";
import type { EffectiveSetting, LoadSettingsOptions, Settings, SettingsOverrides } from "./settings.ts";
import { type SettingsValues, settingsSchema } from "./settings-schema.ts";
import { readYaml } from "./yaml-file.ts";

type Tree = Record<string, unknown>;

/** The effective value of one setting, before all are checked together. */
interface Chosen {
  readonly value: unknown;
  readonly source: string;
}

function setAt(tree: Tree, path: readonly string[], value: unknown): void {
  let node = tree;
  for (const key of path.slice(0, -1)) {
    node[key] ??= {};
    node = node[key] as Tree;
  }
  node[path.at(-1) ?? ""] = value;
}

function getAt(tree: unknown, path: readonly string[]): unknown {
  let node = tree;
  for (const key of path) node = (node as Tree | undefined)?.[key];
  return node;
}

async function readConfigFile(
  named: { readonly file: string; readonly source: string },
  readFile: LoadSettingsOptions["readFile"],
): Promise<SourceReading> {
  try {
    return await readYaml(named.file, await readFile(named.file));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { given: [], faults: [`${named.source}: cannot read ${JSON.stringify(named.file)}: ${reason}`] };
  }
}

function configFileOf(flag: string | undefined, environment: Environment) {
  if (flag !== undefined) return { file: flag, source: "flag --config" };
  const variable = environment["OTTLA_CONFIG"];
  if (variable === undefined || variable === "") return undefined;
  return { file: variable, source: "environment OTTLA_CONFIG" };
}

function combine(definition: SettingDefinition, earlier: Chosen | undefined, next: Chosen): Chosen {
  if (definition.kind !== "map" || earlier === undefined) return next;
  const value = { ...(earlier.value as Tree), ...(next.value as Tree) };
  return { value, source: `${earlier.source}, ${next.source}` };
}

/**
 * Checks every given value, the overridden ones too; later ones win over (or, for maps, add to) earlier ones.
 */
function choose(given: readonly GivenSetting[], faults: string[]): Map<SettingDefinition, Chosen> {
  const chosen = new Map<SettingDefinition, Chosen>();
  for (const { definition, raw, source } of given) {
    const parsed = raw === null ? undefined : definition.schema.safeParse(raw);
    if (parsed?.success === true) {
      const next = { value: parsed.data, source };
      chosen.set(definition, combine(definition, chosen.get(definition), next));
    } else {
      faults.push(`${source}: ${showValue(definition, raw)} is not ${definition.expected}`);
    }
  }
  return chosen;
}

function describe(
  values: SettingsValues,
  chosen: ReadonlyMap<SettingDefinition, Chosen>,
): EffectiveSetting[] {
  return settingDefinitions.map((definition) => {
    const value = getAt(values, definition.path);
    const shown = definition.secret === true && value !== undefined ? "(secret)" : definition.format(value);
    return { name: definition.yamlPath, value: shown, source: chosen.get(definition)?.source ?? "default" };
  });
}

/** A fault that shows only when the settings are looked at together. */
function faultTogether(issue: z.core.$ZodIssue, chosen: ReadonlyMap<SettingDefinition, Chosen>): string {
  const name = issue.path.join(".");
  const definition = settingDefinitions.find((candidate) => candidate.name === name);
  if (definition === undefined) return `${name}: ${issue.message}`;
  const given = chosen.get(definition);
  const start =
    given === undefined
      ? `default of ${definition.yamlPath}: ${definition.defaultText ?? "none"}`
      : `${given.source}: ${showValue(definition, given.value)}`;
  return `${start} is not allowed: it ${issue.message}`;
}

function build(chosen: ReadonlyMap<SettingDefinition, Chosen>, faults: string[]): Settings | undefined {
  const tree: Tree = {};
  for (const definition of settingDefinitions) {
    const value = chosen.get(definition)?.value;
    setAt(tree, definition.path, value);
  }
  const whole = settingsSchema.safeParse(tree);
  if (whole.success) return { ...whole.data, effective: describe(whole.data, chosen) };
  for (const issue of whole.error.issues) faults.push(faultTogether(issue, chosen));
  return undefined;
}

function refuse(faults: readonly string[]): never {
  throw new OttlaError("INVALID_CONFIG", faults.join("\n"), { metadata: { faults: String(faults.length) } });
}

/** See `loadSettings` in settings.ts. */
export async function loadSettings(options: LoadSettingsOptions): Promise<Settings> {
  const flags = readFlags(options.argv);
  const environment = readEnvironment(options.env);
  const named = configFileOf(flags.configFile, options.env);
  const nothing: SourceReading = { given: [], faults: [] };
  const file = named === undefined ? nothing : await readConfigFile(named, options.readFile);
  const faults = [...flags.faults, ...environment.faults, ...file.faults];
  const chosen = choose([...file.given, ...environment.given, ...flags.given], faults);
  const settings = faults.length === 0 ? build(chosen, faults) : undefined;
  return settings ?? refuse(faults);
}

/** See `defaultSettings` in settings.ts. */
export function defaultSettings(overrides: SettingsOverrides): Settings {
  const given = settingDefinitions.flatMap((definition) => {
    const raw = getAt(overrides, definition.path);
    return raw === undefined ? [] : [{ definition, raw, source: `override ${definition.name}` }];
  });
  const faults: string[] = [];
  const chosen = choose(given, faults);
  const settings = faults.length === 0 ? build(chosen, faults) : undefined;
  return settings ?? refuse(faults);
}
