import { posix } from "node:path";
import { type Manifest, packageRow, refusal } from "./packages.ts";
import { homeOf, importsOf, place, type Source } from "./source-tree.ts";

const OWN_SCOPE = "@ottla/";

/** Imports that go against the order of the packages, or past a package's door. */
export function findBoundaryBreaches(sources: readonly Source[], manifests: readonly Manifest[]): string[] {
  const homes = new Map(manifests.map((manifest) => [manifest.name, manifest.home]));
  const found: string[] = [];
  for (const source of sources) {
    // The root's scripts are no package and have nothing to resolve names by.
    if (!homes.has(OWN_SCOPE + source.home.split("/").at(-1))) continue;
    for (const { specifier, node } of importsOf(source)) {
      const why = specifier.startsWith(".")
        ? whyNotRelative(source, specifier)
        : whyNotNamed(source.home, specifier, homes);
      if (why !== undefined) found.push(`${place(source, node)} imports ${specifier}: ${why}`);
    }
  }
  return found;
}

function whyNotRelative(source: Source, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(source.path), specifier);
  if (homeOf(target) !== source.home) return "it lies in another package: import that by name";
  return specifier.endsWith(".ts") || specifier.endsWith(".json") ? undefined : "say the file's ending";
}

function whyNotNamed(
  from: string,
  specifier: string,
  homes: ReadonlyMap<string, string>,
): string | undefined {
  if (!specifier.startsWith(OWN_SCOPE)) return undefined;
  return refusal(from, homes.get(specifier.split("/").slice(0, 2).join("/")) ?? "");
}

/** Dependencies in package.json that go against the order; a package that has no place in it. */
export function findManifestBreaches(manifests: readonly Manifest[]): string[] {
  const homes = new Map(manifests.map((manifest) => [manifest.name, manifest.home]));
  const found: string[] = [];
  for (const { home, dependencies } of manifests) {
    if (home.startsWith("packages/") && packageRow(home) < 0) {
      found.push(`${home} has no place in PACKAGE_ROWS of tests/tidy/packages.ts`);
    }
    for (const dependency of dependencies) {
      const why = whyNotNamed(home, dependency, homes);
      if (why !== undefined) found.push(`${home}/package.json depends on ${dependency}: ${why}`);
    }
  }
  return found;
}
