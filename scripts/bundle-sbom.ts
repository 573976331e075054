import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * What a bundle is made of, as a CycloneDX 1.6 document: every package of which a file went into the program
 * or was copied beside it, as its package.json names itself.
 */
export async function billOfMaterials(
  version: string,
  files: Iterable<string>,
  packageDirectories: Iterable<string>,
): Promise<object> {
  const components = new Map<string, object>();
  const directories = new Set(packageDirectories);
  for (const file of files) {
    const directory = directoryOfPackage(file);
    if (directory !== undefined) directories.add(directory);
  }
  for (const directory of directories) {
    const component = await componentOf(directory);
    components.set(component.purl, component);
  }
  const root = { type: "application", name: "ottla", version, licenses: [license("Apache-2.0")] };
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: root },
    components: [...components.keys()].toSorted().map((purl) => components.get(purl)),
  };
}

/** Files of the tree itself are no component of their own. */
function directoryOfPackage(file: string): string | undefined {
  const match = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/@.][^/]*)\//.exec(file);
  return match?.[1];
}

interface Component {
  readonly type: "library";
  readonly name: string;
  readonly version: string;
  readonly purl: string;
}

async function componentOf(directory: string): Promise<Component> {
  const text = await readFile(join(directory, "package.json"), "utf8").catch(() => undefined);
  if (text === undefined) return componentOf(dirname(directory));
  const manifest = JSON.parse(text) as { name: string; version: string; license?: string };
  const { name, version, license: spdx } = manifest;
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const licenses = typeof spdx === "string" ? { licenses: [license(spdx)] } : {};
  return { type: "library", name, version, purl, ...licenses };
}

function license(spdx: string): object {
  return /^[\w.+-]+$/.test(spdx) ? { license: { id: spdx } } : { expression: spdx };
}
