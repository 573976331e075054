import { nearestName } from "./nearest-name.ts";
import { type SettingDefinition, settingDefinitions, settingGroups } from "./setting-list.ts";
import type { GivenSetting, SourceReading } from "./setting-source.ts";

const MAX_FILE_CHARACTERS = 1_048_576;

interface Entry {
  readonly key: string;
  readonly line: number;
  /** The value as plain data; only looked at where a setting stands. */
  readonly value: unknown;
  /** The entries, where the value is a map. */
  readonly entries: readonly Entry[] | undefined;
}

interface ParsedFile {
  readonly entries: readonly Entry[];
  readonly faults: readonly string[];
}

/** Turns the text into entries with their lines. The library is loaded only when there is a file to read. */
async function parse(file: string, text: string): Promise<ParsedFile> {
  if (text.length > MAX_FILE_CHARACTERS) {
    const limit = `larger than ${MAX_FILE_CHARACTERS} characters`;
    return { entries: [], faults: [`${file}: ${limit}`] };
  }
  const { isMap, isScalar, LineCounter, parseDocument } = await import("yaml");
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    strict: true,
    logLevel: "error",
  });
  if (document.errors.length > 0) {
    const faults = document.errors.map(
      (error) => `${file}:${lines.linePos(error.pos[0]).line}: ${error.message}`,
    );
    return { entries: [], faults };
  }

  const toEntries = (node: unknown): readonly Entry[] | undefined => {
    if (!isMap(node)) return undefined;
    return node.items.map((pair) => {
      const keyNode: unknown = pair.key;
      const valueNode: unknown = pair.value;
      const offset = isScalar(keyNode) ? (keyNode.range?.[0] ?? 0) : 0;
      const data: unknown = isScalar(valueNode) || valueNode === null ? undefined : valueNode;
      return {
        key: isScalar(keyNode) ? String(keyNode.value) : String(keyNode),
        line: lines.linePos(offset).line,
        value: isScalar(valueNode) ? valueNode.value : toPlain(data),
        entries: toEntries(valueNode),
      };
    });
  };
  // At most a few aliases make sense in a page of settings; more is an attempt to blow up memory.
  const toPlain = (node: unknown): unknown =>
    typeof node === "object" && node !== null && "toJS" in node && typeof node.toJS === "function"
      ? node.toJS(document, { maxAliasCount: 20 })
      : null;

  const root: unknown = document.contents;
  if (root === null) return { entries: [], faults: [] };
  const entries = toEntries(root);
  return entries === undefined
    ? { entries: [], faults: [`${file}:1: the file must be a map of settings, such as "node-id: 1"`] }
    : { entries, faults: [] };
}

function unknownKey(file: string, entry: Entry, path: string): string {
  const known = settingDefinitions.map(({ yamlPath }) => yamlPath);
  const start = `${file}:${entry.line} ${path}: no such setting`;
  const nearest = nearestName(path, known);
  if (entry.key.includes(".") && nearest === entry.key) {
    const [group, ...rest] = entry.key.split(".");
    return `${start}; write it nested: ${group}: { ${rest.join(".")}: … }`;
  }
  return nearest === undefined ? start : `${start}; did you mean ${nearest}?`;
}

/**
 * Reads a YAML file with settings. `file` is the path as the user gave it; refusals begin with it and the
 * line.
 */
export async function readYaml(file: string, text: string): Promise<SourceReading> {
  const parsed = await parse(file, text);
  const given: GivenSetting[] = [];
  const faults = [...parsed.faults];

  const give = (definition: SettingDefinition, entry: Entry): void => {
    given.push({ definition, raw: entry.value, source: `${file}:${entry.line} ${definition.yamlPath}` });
  };
  const walk = (entries: readonly Entry[], parent: string | undefined): void => {
    for (const entry of entries) {
      const path = parent === undefined ? entry.key : `${parent}.${entry.key}`;
      const nested = path.split(".").length === (parent === undefined ? 1 : 2);
      const definition = nested ? settingDefinitions.find(({ yamlPath }) => yamlPath === path) : undefined;
      const isGroup = parent === undefined && settingGroups.includes(entry.key);
      if (definition !== undefined) give(definition, entry);
      else if (!isGroup) faults.push(unknownKey(file, entry, path));
      else if (entry.entries !== undefined) walk(entry.entries, entry.key);
      // A group whose settings are all commented out reads as null.
      else if (entry.value !== null) faults.push(`${file}:${entry.line} ${path}: must be a map of settings`);
    }
  };
  walk(parsed.entries, undefined);
  return { given, faults };
}
