/** The packages in their order: each may depend on those of earlier rows only (DESIGN section 3). */
const PACKAGE_ROWS: readonly (readonly string[])[] = [
  ["errors"],
  ["proto", "records"],
  ["kafka-protocol", "replication", "runtime"],
  ["log", "rpc", "metadata"],
  ["routing", "client"],
  ["cli"],
];

/** Composes the others; every other service stands alone. */
const COMPOSING_SERVICE = "services/standalone";

export function packageRow(home: string): number {
  return PACKAGE_ROWS.findIndex((row) => row.includes(home.replace("packages/", "")));
}

/** Why code at `from` may not use what is at `to`, or undefined when it may. */
export function refusal(from: string, to: string): string | undefined {
  if (from === to) return undefined;
  if (to === "") return "there is no such package in the tree";
  if (from.startsWith("services/")) {
    if (!to.startsWith("services/") || from === COMPOSING_SERVICE) return undefined;
    return "services never use one another; they talk through proto/";
  }
  if (from.startsWith("packages/")) {
    if (to.startsWith("services/")) return "packages never use services";
    if (packageRow(to) < packageRow(from)) return undefined;
    return "a package uses only packages of earlier rows (PACKAGE_ROWS in tests/tidy/packages.ts)";
  }
  return undefined;
}

export interface Manifest {
  readonly home: string;
  readonly name: string;
  /** All it depends on, in whatever section. */
  readonly dependencies: readonly string[];
}

export function parseManifest(home: string, text: string): Manifest {
  const json = JSON.parse(text) as Record<string, unknown>;
  const sections = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];
  const dependencies = sections.flatMap((section) => Object.keys(json[section] ?? {}));
  return { home, name: String(json["name"]), dependencies };
}
