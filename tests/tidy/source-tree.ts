import { type ChildProcess, execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { isStringLiteral, type Node, type SourceFile } from "typescript/unstable/ast";
import { createVirtualFileSystem } from "typescript/unstable/fs";
import { API } from "typescript/unstable/sync";

/** A file of TypeScript and what the rules ask about it. */
export interface Source {
  /** From the root of the tree. */
  readonly path: string;
  readonly text: string;
  readonly syntax: SourceFile;
  /** Where it belongs: `packages/log`, `services/gateway`, `tests`. */
  readonly home: string;
  /** Runs in tests only. */
  readonly isTest: boolean;
}

const root = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

/** All files that are part of the tree: those that git knows, and those it would take up. */
export function listTree(): string[] {
  const options = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const output = execFileSync("git", options, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 });
  const paths = new Set(output.split("\0").filter((path) => path !== ""));
  return [...paths].filter((path) => existsSync(`${root}/${path}`)).sort();
}

export function readTreeFile(path: string): string {
  return readFileSync(`${root}/${path}`, "utf8");
}

/** Parses files given as path → text, each for itself: nothing is resolved or checked. */
export function parseSources(texts: Readonly<Record<string, string>>): Source[] {
  const files: Record<string, string> = {};
  for (const [path, text] of Object.entries(texts)) files[`/tree/${path}`] = text;
  const config = "/tree/tsconfig.json";
  files[config] = JSON.stringify({
    files: Object.keys(texts),
    compilerOptions: { noLib: true, noResolve: true, types: [], module: "nodenext", target: "esnext" },
  });
  const api = new API({ cwd: "/tree", fs: createVirtualFileSystem(files) });
  const snapshot = api.updateSnapshot({ openProjects: [config] });
  try {
    const program = snapshot.getProject(config)?.program;
    return Object.entries(texts).map(([path, text]) => {
      const syntax = program?.getSourceFile(`/tree/${path}`);
      if (syntax === undefined) throw new Error(`${path} could not be parsed`);
      return { path, text, syntax, home: homeOf(path), isTest: isTestPath(path) };
    });
  } finally {
    snapshot.dispose();
    close(api);
  }
}

/** The parser is a process, which complains on our standard error when it is asked to end and not made to. */
function close(api: API): void {
  const { client } = api as unknown as { client?: { channel?: { child?: ChildProcess } } };
  client?.channel?.child?.kill("SIGKILL");
  api.close();
}

export function homeOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first === "packages" || first === "services" ? `${first}/${second}` : first;
}

function isTestPath(path: string): boolean {
  return path.startsWith("tests/") || /\.test\.ts$|-contract\.ts$/.test(path);
}

/** Shows the node and all below it to `see`, each before its children. */
export function visit(node: Node, see: (node: Node) => void): void {
  see(node);
  node.forEachChild((child) => {
    visit(child, see);
    return undefined;
  });
}

/** `path:line`, as editors open it. */
export function place(source: Source, node: Node): string {
  const start = node.getStart(source.syntax);
  return `${source.path}:${source.syntax.getLineAndCharacterOfPosition(start).line + 1}`;
}

export interface Import {
  readonly specifier: string;
  readonly node: Node;
}

/** All modules that a file names, in whatever way. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  for (const node of source.syntax.imports) {
    if (isStringLiteral(node)) found.push({ specifier: node.text, node });
  }
  return found;
}
