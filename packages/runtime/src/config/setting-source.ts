import type { SettingDefinition } from "./setting-list.ts";

/** A value that somebody gave for a setting, and where. */
export interface GivenSetting {
  readonly definition: SettingDefinition;
  readonly raw: unknown;
  /** "flag --grpc-port", "environment OTTLA_GRPC_PORT" or "ottla.yaml:12 grpc.port". */
  readonly source: string;
}

/** What one source holds. A fault is one line for a person: source, value, what is wrong. */
export interface SourceReading {
  readonly given: readonly GivenSetting[];
  readonly faults: readonly string[];
}

const LONGEST_SHOWN = 80;

/** The value as a refusal shows it: short, on one line, and never a secret. */
export function showValue(definition: SettingDefinition, raw: unknown): string {
  if (definition.secret === true) return "the secret value";
  const text = JSON.stringify(raw) ?? String(raw);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}
