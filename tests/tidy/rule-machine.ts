import {
  isBindingElement,
  isCallExpression,
  isIdentifier,
  isImportSpecifier,
  isNewExpression,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isTypeNode,
  type Node,
} from "typescript/unstable/ast";
import { importsOf, place, type Source, visit } from "./source-tree.ts";

/** Modules that reach time, disk, network or threads. */
const MODULES = new Set([
  "child_process",
  "cluster",
  "dgram",
  "dns",
  "dns/promises",
  "fs",
  "fs/promises",
  "http",
  "http2",
  "https",
  "net",
  "perf_hooks",
  "sqlite",
  "timers",
  "timers/promises",
  "tls",
  "worker_threads",
]);

/** Names that every file sees. */
const GLOBALS = new Set([
  "fetch",
  "performance",
  "setImmediate",
  "setInterval",
  "setTimeout",
  "WebSocket",
  "XMLHttpRequest",
]);

/** Members of what every file sees, as `object.member`. */
const MEMBERS = new Set([
  "AbortSignal.timeout",
  "Date.now",
  "Math.random",
  "process.hrtime",
  "process.uptime",
  "scheduler.wait",
]);

export interface MachineUse {
  /** What is used: `node:fs`, `Date.now`. */
  readonly what: string;
  readonly path: string;
  readonly place: string;
}

/** All uses of the machine's time, randomness, disk and network in a file (DESIGN section 8). */
export function findMachineUses(source: Source): MachineUse[] {
  const found: MachineUse[] = [];
  const note = (what: string, node: Node) => {
    found.push({ what, path: source.path, place: place(source, node) });
  };
  for (const { specifier, node } of importsOf(source)) {
    const name = specifier.replace(/^node:/, "");
    if (MODULES.has(name)) note(`node:${name}`, node);
  }
  const declared = declaredNames(source);
  visit(source.syntax, (node) => {
    const what = machineMember(node) ?? machineGlobal(node, declared) ?? currentDate(node);
    if (what !== undefined) note(what, node);
  });
  return found;
}

function machineMember(node: Node): string | undefined {
  // An import by name: `import { randomBytes } from "node:crypto"`.
  if (isImportSpecifier(node)) {
    const name = (node.propertyName ?? node.name).text;
    const module = node.parent.parent.parent.getText();
    return /from\s+["'](node:)?crypto["']/.test(module) && isRandom(name) ? `crypto.${name}` : undefined;
  }
  if (!isPropertyAccessExpression(node)) return undefined;
  const object = node.expression.getText();
  const member = `${object.replace(/^globalThis\./, "")}.${node.name.text}`;
  if (MEMBERS.has(member)) return member;
  if (object === "globalThis" && GLOBALS.has(node.name.text)) return node.name.text;
  const isCrypto = /^(?:globalThis\.)?crypto$/i.test(object);
  return isCrypto && isRandom(node.name.text) ? `crypto.${node.name.text}` : undefined;
}

function isRandom(name: string): boolean {
  return name.startsWith("random") || name === "getRandomValues" || name === "webcrypto";
}

function machineGlobal(node: Node, declared: ReadonlySet<string>): string | undefined {
  if (!isIdentifier(node) || !GLOBALS.has(node.text) || declared.has(node.text)) return undefined;
  const { parent } = node;
  const isMemberName = isPropertyAccessExpression(parent) && parent.name === node;
  const isKey = (isPropertyAssignment(parent) || isBindingElement(parent)) && parent.name === node;
  const isInType = isTypeNode(parent);
  return isMemberName || isKey || isInType ? undefined : node.text;
}

/** `new Date()` and `Date()` read the clock; `new Date(time)` does not. */
function currentDate(node: Node): string | undefined {
  if (!isNewExpression(node) && !isCallExpression(node)) return undefined;
  const isDate = isIdentifier(node.expression) && node.expression.text === "Date";
  const readsClock = isCallExpression(node) || (node.arguments?.length ?? 0) === 0;
  return isDate && readsClock ? "new Date()" : undefined;
}

/** Names that the file declares itself, anywhere: an imported or local `fetch` is not the global one. */
function declaredNames(source: Source): Set<string> {
  const names = new Set<string>();
  visit(source.syntax, (node) => {
    if (!isIdentifier(node) || !GLOBALS.has(node.text)) return;
    const { name } = node.parent as { name?: Node };
    const isMember = isPropertyAccessExpression(node.parent) || isPropertyAssignment(node.parent);
    if (name === node && !isMember) names.add(node.text);
  });
  return names;
}
