import { OTHER_VARIABLES } from "./environment.ts";
import { type SettingDefinition, settingDefinitions } from "./setting-list.ts";

const INTRODUCTION = `# Configuration

<!-- Generated from packages/runtime/src/config by scripts/generate-docs.ts: do not edit. -->

Every setting of \`ottla serve\` has a flag, an environment variable and a place in a YAML file. Flags go
before the environment, the environment before the file (\`--config FILE\` or \`OTTLA_CONFIG\`), the file
before the default. \`ottla serve --help\` lists the flags; at level \`debug\` the log shows each value in
force and where it came from.

- A setting that does not exist, or a value that is not allowed, stops the start, from whichever source it
  comes, even if another source overrides it. All faults are reported at once, one line each, with source,
  value, limit.
- Sizes are \`64MiB\`, \`64Mi\` (1024s), \`64MB\` (1000s) or plain bytes; times are \`500ms\`, \`30s\`,
  \`5m\`, \`1h\`, \`7d\` or plain milliseconds.
- A flag is written \`--name value\` or \`--name=value\`, a switch \`--name\` or \`--no-name\`. When a flag
  comes twice, the last one counts.
- An environment variable that is empty counts as not set. Variables that Kubernetes makes for Services
  (\`OTTLA_PORT=tcp://…\`, \`OTTLA_SERVICE_HOST\`, …) are passed over.
- \`--topic-default retention.ms=3600000\` may be repeated, \`OTTLA_TOPIC_DEFAULTS\` takes a comma-separated
  list, the file a map. Names and meanings are those of Kafka's topic settings.
`;

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function row(definition: SettingDefinition): string {
  const { yamlPath, flagName, environmentName, defaultText, defaultDocumentation, targets } = definition;
  const names = `\`${yamlPath}\`<br>\`${flagName}\`<br>\`${environmentName}\``;
  const fallback = defaultText === undefined || defaultText === "" ? undefined : `\`${defaultText}\``;
  const concerns = targets === undefined ? "" : ` Concerns ${targets.join(" and ")}.`;
  const cells = [
    names,
    capitalise(definition.expected),
    fallback ?? defaultDocumentation ?? "none",
    definition.documentation + concerns,
  ];
  return `| ${cells.map(escapeCell).join(" | ")} |`;
}

function section(heading: string): string {
  const rows = settingDefinitions.filter((definition) => definition.heading === heading).map(row);
  return [
    `## ${heading}`,
    "",
    "| setting | value | default | meaning |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function exampleLine(definition: SettingDefinition, indent: string, key: string): string {
  const { defaultText, defaultDocumentation, kind } = definition;
  if (kind === "map") return `${indent}${key}: {}`;
  if (defaultText === undefined) return `${indent}# ${key}: # ${defaultDocumentation ?? "not set"}`;
  return `${indent}${key}: ${defaultText === "" ? '""' : defaultText}`;
}

/** A YAML file that sets every setting to its default. */
export function exampleYaml(): string {
  const lines: string[] = [];
  let group: string | undefined;
  for (const definition of settingDefinitions) {
    const [first = "", second] = definition.yamlPath.split(".");
    if (second !== undefined && group !== first) lines.push(`${first}:`);
    group = second === undefined ? undefined : first;
    lines.push(
      second === undefined ? exampleLine(definition, "", first) : exampleLine(definition, "  ", second),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** The text of docs/configuration.md. */
export function settingsReference(): string {
  const headings = [...new Set(settingDefinitions.map(({ heading }) => heading))];
  const others = Object.entries(OTHER_VARIABLES).map(
    ([name, meaning]) => `| \`${name}\` | ${escapeCell(meaning)} |`,
  );
  return [
    INTRODUCTION,
    ...headings.map(section),
    "## Other environment variables",
    "",
    "| variable | meaning |",
    "|---|---|",
    ...others,
    "",
    "## A file with all defaults",
    "",
    "```yaml",
    `${exampleYaml()}\`\`\``,
    "",
  ].join("\n");
}
