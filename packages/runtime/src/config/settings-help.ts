import type { SettingKind } from "./setting-kinds.ts";
import { type SettingDefinition, settingDefinitions } from "./setting-list.ts";

const NARROWEST = 40;
const WIDEST = 110;

const PLACEHOLDERS: Readonly<Record<SettingKind, string>> = {
  "whole number": " N",
  ratio: " N",
  bytes: " SIZE",
  duration: " TIME",
  text: " TEXT",
  choice: " CHOICE",
  boolean: "",
  list: " LIST",
  map: " NAME=VALUE",
};

/** Breaks at spaces; a word longer than a line gets a line of its own. */
function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    const separator = line === indent ? "" : " ";
    if (line !== indent && line.length + separator.length + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else {
      line += separator + word;
    }
  }
  lines.push(line);
  return lines;
}

const FIRST_SENTENCE = /^.*?\.(?= |$)/;

function describeFlag(definition: SettingDefinition, width: number): string[] {
  const { kind, flagName, documentation, expected, defaultText, defaultDocumentation } = definition;
  const flag = kind === "boolean" ? flagName.replace("--", "--[no-]") : flagName + PLACEHOLDERS[kind];
  const sentence = FIRST_SENTENCE.exec(documentation)?.[0] ?? documentation;
  const fallback = defaultDocumentation ?? (defaultText === "" ? undefined : defaultText);
  const limits = kind === "boolean" ? undefined : expected;
  const facts = [fallback === undefined ? undefined : `Default: ${fallback}`, limits].filter(
    (fact) => fact !== undefined,
  );
  const ending = facts.length === 0 ? "" : ` (${facts.join("; ")})`;
  return [`  ${flag}`, ...wrap(sentence + ending, width, "      ")];
}

/** See `settingsHelp` in settings.ts. */
export function settingsHelp(columns: number): string {
  const width = Math.min(WIDEST, Math.max(NARROWEST, columns));
  const lines = ["Usage: ottla serve [flags]", ""];
  lines.push(...wrap("Runs Ottla: all of it in one process, or the roles that --target names.", width, ""));
  const headings = new Set(settingDefinitions.map(({ heading }) => heading));
  for (const heading of headings) {
    lines.push("", heading);
    for (const definition of settingDefinitions) {
      if (definition.heading === heading) lines.push(...describeFlag(definition, width));
    }
  }
  lines.push("", "Sources", "  --config FILE");
  lines.push(...wrap("YAML file with settings. (Also OTTLA_CONFIG)", width, "      "));
  const sources =
    "Each flag is also an environment variable (--grpc-port is OTTLA_GRPC_PORT) and a setting of the YAML " +
    "file (grpc.port). Flags go before the environment, the environment before the file, the file before " +
    "the defaults. " +
    "Unknown and wrong settings are refused. The whole reference is docs/configuration.md.";
  lines.push("", ...wrap(sources, width, ""));
  return `${lines.join("\n")}\n`;
}
