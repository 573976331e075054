import type { Environment } from "./environment.ts";
import type { SettingsValues } from "./settings-schema.ts";

/**
 * The door to the settings. The schema and its libraries take tens of milliseconds to load, which only
 * `serve` should pay: so this file imports nothing but types and loads the rest when it is called.
 */

/** One setting as it is in force: for the log at start. Secrets are masked. */
export interface EffectiveSetting {
  /** Its YAML path, such as grpc.port. */
  readonly name: string;
  readonly value: string;
  /** "flag --grpc-port", "environment OTTLA_GRPC_PORT", "ottla.yaml:12 grpc.port" or "default". */
  readonly source: string;
}

/** What `nodeId` is where the setting is `auto`, before the program has replaced it. */
export const AUTO_NODE_ID = -1;

/** All settings of `ottla serve`, checked. */
export type Settings = SettingsValues & { readonly effective: readonly EffectiveSetting[] };

/** One of the roles a process can play. `all` is spelled out by the loader. */
export type Target = SettingsValues["target"][number];

type DeepPartial<T> = {
  readonly [K in keyof T]?: T[K] extends readonly unknown[] ? T[K] : DeepPartial<T[K]>;
};

export type SettingsOverrides = DeepPartial<SettingsValues>;

export interface LoadSettingsOptions {
  /** The arguments after `serve`. */
  readonly argv: readonly string[];
  readonly env: Environment;
  /** Reads the file of --config as text. */
  readonly readFile: (path: string) => Promise<string>;
}

/**
 * Reads the settings: flags over environment (OTTLA_…) over the YAML file (--config, OTTLA_CONFIG) over
 * defaults. Throws one `OttlaError` INVALID_CONFIG whose message has a line for each unknown or wrong setting
 * of any source.
 */
export async function loadSettings(options: LoadSettingsOptions): Promise<Settings> {
  const implementation = await import("./load-settings.ts");
  return implementation.loadSettings(options);
}

/**
 * The defaults with some values replaced, checked in the same way: for tests and programs that embed a
 * service.
 */
export async function defaultSettings(overrides: SettingsOverrides = {}): Promise<Settings> {
  const implementation = await import("./load-settings.ts");
  return implementation.defaultSettings(overrides);
}

/** The text of `ottla serve --help`, wrapped to `width` columns. */
export async function settingsHelp(options: { readonly width: number }): Promise<string> {
  const implementation = await import("./settings-help.ts");
  return implementation.settingsHelp(options.width);
}

/** The values in force with their sources, in the order of the reference page. */
export function describeSettings(settings: Settings): readonly EffectiveSetting[] {
  return settings.effective;
}
