import { nearestName } from "./nearest-name.ts";
import { type SettingDefinition, settingDefinitions } from "./setting-list.ts";
import type { GivenSetting, SourceReading } from "./setting-source.ts";

export interface FlagReading extends SourceReading {
  /** The file named by --config. */
  readonly configFile: string | undefined;
}

const CONFIG_FLAG = "--config";
const NEGATION = /^--no-/;

interface Flag {
  readonly definition: SettingDefinition | undefined;
  readonly negated: boolean;
}

function findFlag(name: string): Flag | undefined {
  if (name === CONFIG_FLAG) return { definition: undefined, negated: false };
  const definition = settingDefinitions.find((candidate) => candidate.flagName === name);
  if (definition !== undefined) return { definition, negated: false };
  const positive = name.replace(NEGATION, "--");
  const negatable = settingDefinitions.find(
    (candidate) => candidate.kind === "boolean" && candidate.flagName === positive,
  );
  return positive !== name && negatable !== undefined ? { definition: negatable, negated: true } : undefined;
}

function unknownFlag(name: string): string {
  const known = [CONFIG_FLAG, ...settingDefinitions.map(({ flagName }) => flagName)];
  const nearest = nearestName(name, known);
  return `flag ${name}: no such flag${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
}

/**
 * Reads "--name value", "--name=value", and "--name" and "--no-name" of switches. When a flag comes twice the
 * last one counts, so that a script can append its own; those of a map add up.
 */
export function readFlags(argv: readonly string[]): FlagReading {
  const given = new Map<SettingDefinition, GivenSetting>();
  const faults: string[] = [];
  let configFile: string | undefined;

  const give = (definition: SettingDefinition, text: string | boolean): void => {
    const earlier = definition.kind === "map" ? given.get(definition)?.raw : undefined;
    const raw = typeof earlier === "string" ? `${earlier},${text}` : text;
    given.set(definition, { definition, raw, source: `flag ${definition.flagName}` });
  };

  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] ?? "";
    const equals = argument.indexOf("=");
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const inline = equals < 0 ? undefined : argument.slice(equals + 1);
    if (!argument.startsWith("-")) {
      faults.push(`argument ${JSON.stringify(argument)}: only flags are understood here`);
      continue;
    }
    const flag = findFlag(name);
    if (flag === undefined) {
      faults.push(unknownFlag(name));
      // What follows an unknown flag is most likely its value: one fault for both is enough.
      if (inline === undefined && argv[index + 1]?.startsWith("-") === false) index += 1;
    } else if (flag.definition?.kind === "boolean" && (inline === undefined || flag.negated)) {
      if (inline === undefined) give(flag.definition, !flag.negated);
      else faults.push(`flag ${name}: takes no value; write ${flag.definition.flagName}=${inline}`);
    } else {
      const next = argv[index + 1];
      const value = inline ?? (next?.startsWith("--") === true ? undefined : next);
      if (inline === undefined && value !== undefined) index += 1;
      if (value === undefined) faults.push(`flag ${name}: a value is missing after it`);
      else if (flag.definition === undefined) configFile = value;
      else give(flag.definition, value);
    }
  }
  return { given: [...given.values()], faults, configFile };
}
