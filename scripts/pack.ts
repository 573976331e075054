import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

/**
 * Makes tarballs of the packages that are published: the SDK and what it stands on, as
 * JavaScript with declarations. They run on Node 22.15 and newer (the first with zstd).
 * Usage: sh scripts/node.sh scripts/pack.ts [--out DIRECTORY]
 */
const PUBLISHED = ["errors", "proto", "records", "runtime", "rpc", "client"] as const;
const OLDEST_NODE = ">=22.15";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly private?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
}

const { values } = parseArgs({ options: { out: { type: "string" } } });
const target = values.out ?? join(root, "dist/pack");
const build = join(target, "build");
await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });

await compile();
const catalog = await readCatalog();
const manifests = new Map<string, Manifest>();
for (const folder of PUBLISHED) manifests.set(folder, await readManifest(folder));
for (const folder of PUBLISHED) await pack(folder);

/**
 * The project maps the packages to their sources: one that is found in node_modules is
 * another's to TypeScript 7, and then its files are written or not, as its threads meet them.
 */
async function compile(): Promise<void> {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const project = join(root, "scripts/pack.tsconfig.json");
  await run(process.execPath, [compiler, "-p", project, "--outDir", build]).catch((thrown: unknown) => {
    const { stdout } = thrown as { stdout?: string };
    throw new Error(`cannot compile the packages:\n${stdout ?? ""}`, { cause: thrown });
  });
}

async function pack(folder: string): Promise<void> {
  const manifest = manifests.get(folder);
  if (manifest === undefined) throw new Error(`no manifest of ${folder}`);
  const source = join(root, "packages", folder);
  const staged = join(target, folder);
  await mkdir(staged, { recursive: true });
  if (folder === "proto") {
    await cp(join(source, "gen"), join(staged, "gen"), { recursive: true });
  } else {
    await cp(join(build, folder, "src"), join(staged, "dist"), { recursive: true });
    await rewriteDeclarations(join(staged, "dist"));
    await checkImports(join(staged, "dist"));
  }
  await cp(join(root, "LICENSE"), join(staged, "LICENSE"));
  await writeFile(join(staged, "README.md"), await readme(source, manifest));
  await writeFile(join(staged, "package.json"), `${JSON.stringify(published(folder, manifest), null, 2)}\n`);
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", target], { cwd: staged });
  process.stdout.write(`${relative(root, join(target, stdout.trim()))}\n`);
}

/** The manifest as npm sees it: compiled entry points, and versions in place of workspace and catalog. */
function published(folder: string, manifest: Manifest): object {
  if (manifest.private === true) throw new Error(`${manifest.name} is private: it cannot be published`);
  const { name, version, description, license, dependencies = {} } = manifest;
  const entry = { types: "./dist/index.d.ts", default: "./dist/index.js" };
  const generated = { types: "./gen/*_pb.d.ts", default: "./gen/*_pb.js" };
  return {
    name,
    version,
    description,
    license,
    type: "module",
    engines: { node: OLDEST_NODE },
    exports: folder === "proto" ? { "./*": generated } : { ".": entry },
    dependencies: Object.fromEntries(
      Object.entries(dependencies).map(([dependency, range]) => [dependency, versionOf(dependency, range)]),
    ),
  };
}

function versionOf(dependency: string, range: string): string {
  if (range === "catalog:") {
    const version = catalog[dependency];
    if (version === undefined) throw new Error(`${dependency} is not in the catalog of pnpm-workspace.yaml`);
    return version;
  }
  if (!range.startsWith("workspace:")) return range;
  const sibling = [...manifests.values()].find(({ name }) => name === dependency);
  if (sibling === undefined)
    throw new Error(`${dependency} is needed by a published package, but not published`);
  return sibling.version;
}

/** The compiler leaves ".ts" in the imports of declarations; readers of a package have ".js" beside them. */
async function rewriteDeclarations(directory: string): Promise<void> {
  for (const name of await readdir(directory, { recursive: true })) {
    if (!name.endsWith(".d.ts")) continue;
    const path = join(directory, name);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replaceAll(/(["'])(\.{1,2}\/[^"']+)\.ts\1/g, "$1$2.js$1"));
  }
}

/** A package without one of its own files would fail only at its users. */
async function checkImports(directory: string): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  const present = new Set(names.map((name) => join(directory, name)));
  for (const name of names.filter((name) => /\.(?:js|d\.ts)$/.test(name))) {
    const path = join(directory, name);
    const text = await readFile(path, "utf8");
    for (const [, specifier = ""] of text.matchAll(/(?:from|import)[\s(]*["'](\.{1,2}\/[^"']+)["']/g)) {
      const imported = join(dirname(path), specifier);
      const missing = [imported, imported.replace(/\.js$/, ".d.ts")].find((file) => !present.has(file));
      if (missing !== undefined) throw new Error(`${path} imports ${missing}, which was not compiled`);
    }
  }
}

async function readme(source: string, { name, description }: Manifest): Promise<string> {
  const text = await readFile(join(source, "README.md"), "utf8").catch(() => undefined);
  return text ?? `# ${name}\n\n${description}. A part of Ottla; use it through @ottla/client.\n`;
}

async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, "packages", folder, "package.json"), "utf8")) as Manifest;
}

/** The catalog's lines are all `  "name": range`: no parser is needed for them. */
async function readCatalog(): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(root, "pnpm-workspace.yaml"), "utf8");
  const section = /^catalog:\n((?: {2}.*\n)+)/m.exec(text)?.[1] ?? "";
  const entries = [...section.matchAll(/^ {2}"?([^":]+)"?: (\S+)$/gm)];
  return Object.fromEntries(entries.map(([, name = "", range = ""]) => [name, range]));
}
