import { chmod, cp, mkdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "rolldown";
import { billOfMaterials } from "./bundle-sbom.ts";

/**
 * `make bundle`: Ottla as one JavaScript program with source maps, beside the few packages that must stay as
 * they are, and `bin/ottla`. It runs on its own wherever Node 26.9 or newer is, on the platform that it was
 * made on. `sbom.cdx.json` beside it lists what it is made of.
 * Usage: sh scripts/node.sh scripts/bundle.ts [--out DIRECTORY]
 */

/** Have native modules, or load files from beside their own code. The place is a package that has them. */
const KEPT_PACKAGES = [
  { name: "@node-rs/crc32", of: "packages/records" },
  { name: "snappy", of: "packages/records" },
  { name: "lz4-napi", of: "packages/records" },
  { name: "etcd3", of: "packages/metadata" },
  { name: "@grpc/grpc-js", of: "packages/rpc" },
  { name: "pino-pretty", of: "packages/runtime" },
] as const;

/** The versions of the packages that are there already. */
const copied = new Map<string, string>();
/** Where they were copied from. */
const copiedFrom: string[] = [];
const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({ options: { out: { type: "string" } } });
const target = values.out ?? join(root, "dist/bundle");

await rm(target, { recursive: true, force: true });
await mkdir(join(target, "bin"), { recursive: true });
const bundled = await bundleProgram();
for (const { name, of } of KEPT_PACKAGES) {
  const manifestPath = join(root, of, "package.json");
  await copyPackage(name, { manifestPath, place: target, optional: new Set() });
}
await writeLaunchers();
await writeManifests();
process.stdout.write(`${relative(process.cwd(), target)}\n`);

/** Resolves with the files that went into it. */
async function bundleProgram(): Promise<readonly string[]> {
  const kept = KEPT_PACKAGES.map(({ name }) => name);
  const { output } = await build({
    input: { ottla: join(root, "bin/ottla.ts") },
    platform: "node",
    external: (id) => kept.some((name) => id === name || id.startsWith(`${name}/`)),
    output: {
      dir: join(target, "lib"),
      format: "esm",
      sourcemap: true,
      minify: false,
      entryFileNames: "[name].js",
      chunkFileNames: "[name]-[hash].js",
    },
    logLevel: "warn",
  });
  return output.flatMap((part) => (part.type === "chunk" ? part.moduleIds : []));
}

async function writeManifests(): Promise<void> {
  const { version, license, description } = await readManifest(join(root, "package.json"));
  const manifest = { name: "ottla", version, license, description, private: true, type: "module" };
  await writeFile(join(target, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  const materials = await billOfMaterials(version, bundled, copiedFrom);
  await writeFile(join(target, "sbom.cdx.json"), `${JSON.stringify(materials, null, 2)}\n`);
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly description?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

async function readManifest(path: string): Promise<Manifest> {
  return JSON.parse(await readFile(path, "utf8")) as Manifest;
}

interface Dependent {
  /** Its package.json in the tree. */
  readonly manifestPath: string;
  /** Its directory in the bundle. */
  readonly place: string;
  readonly optional: ReadonlySet<string>;
}

/** Copies a package and all that it depends on side by side; of another version below its dependent. */
async function copyPackage(name: string, dependent: Dependent): Promise<void> {
  const source = await findPackage(name, dependent.manifestPath);
  if (source === undefined) {
    if (dependent.optional.has(name)) return;
    throw new Error(`${dependent.manifestPath} depends on ${name}, which is not installed`);
  }
  const manifestPath = join(source, "package.json");
  const { version, dependencies, optionalDependencies } = await readManifest(manifestPath);
  const before = copied.get(name);
  if (before === version) return;
  const place = join(before === undefined ? target : dependent.place, "node_modules", name);
  if (before === undefined) copied.set(name, version);
  copiedFrom.push(source);
  await cp(source, place, { recursive: true, dereference: true, filter: isUseful });
  const optional = new Set(Object.keys(optionalDependencies ?? {}));
  const names = new Set([...Object.keys(dependencies ?? {}), ...optional]);
  for (const dependency of names) {
    if (!dependency.startsWith("@types/")) await copyPackage(dependency, { manifestPath, place, optional });
  }
}

/** Types and tests of packages are of no use at run time. */
function isUseful(path: string): boolean {
  return !/\.(?:ts|mts|cts|map)$/.test(path) && !path.endsWith("/node_modules");
}

/** Where Node would find the package from the place of its dependent. */
async function findPackage(name: string, dependent: string): Promise<string | undefined> {
  for (const directory of createRequire(dependent).resolve.paths(name) ?? []) {
    const candidate = join(directory, name);
    const exists = await readFile(join(candidate, "package.json")).then(
      () => true,
      () => false,
    );
    // pnpm's folders are links: what lies beside the package is found from its real place only.
    if (exists) return dirname(await realpath(join(candidate, "package.json")));
  }
  return undefined;
}

async function writeLaunchers(): Promise<void> {
  await cp(join(root, "LICENSE"), join(target, "LICENSE"));
  await cp(join(root, "bin/launch.sh"), join(target, "bin/launch.sh"));
  await cp(join(root, "scripts/find-node.sh"), join(target, "bin/find-node.sh"));
  await cp(join(root, "scripts/bundle-ottla.sh"), join(target, "bin/ottla"));
  await chmod(join(target, "bin/ottla"), 0o755);
}
