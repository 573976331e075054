import { describe, expect, it } from "vitest";
import { parseManifest } from "./packages.ts";
import { findBoundaryBreaches, findManifestBreaches } from "./rule-boundaries.ts";
import { findMachineUses } from "./rule-machine.ts";
import { findLongFile, findLongFunctions, findLongLines } from "./rule-sizes.ts";
import {
  findCodeInIndex,
  findSwitchedOffTests,
  findUnerasableSyntax,
  findUnfinishedMarks,
} from "./rule-syntax.ts";
import { parseSources, type Source } from "./source-tree.ts";

const LOG = "packages/log/src/log.ts";

function parse(text: string, path = LOG): Source {
  const [source] = parseSources({ [path]: text });
  if (source === undefined) throw new Error("nothing was parsed");
  return source;
}

function usesIn(text: string): string[] {
  return findMachineUses(parse(text)).map((use) => use.what);
}

/** A rule that finds nothing might be broken: each is shown what it is there to find. */
describe("a tidy rule", () => {
  it("finds every way to the machine", () => {
    expect(usesIn('import fs from "node:fs";\nimport "http2";')).toEqual(["node:fs", "node:http2"]);
    expect(usesIn('const net = await import("node:net");')).toEqual(["node:net"]);
    expect(usesIn('import { randomBytes as b, createHash } from "node:crypto";')).toEqual([
      "crypto.randomBytes",
    ]);
    expect(usesIn("crypto.randomUUID(); globalThis.crypto.getRandomValues(a);")).toEqual([
      "crypto.randomUUID",
      "crypto.getRandomValues",
    ]);
    expect(usesIn("Date.now(); Math.random(); AbortSignal.timeout(5); process.hrtime();")).toEqual([
      "Date.now",
      "Math.random",
      "AbortSignal.timeout",
      "process.hrtime",
    ]);
    expect(usesIn("new Date(); new Date(5); Date();")).toEqual(["new Date()", "new Date()"]);
    expect(usesIn("setTimeout(f, 1); const later = setImmediate; globalThis.setInterval(f, 1);")).toEqual([
      "setTimeout",
      "setImmediate",
      "setInterval",
    ]);
    expect(usesIn("const start = performance.now(); await fetch(url);")).toEqual(["performance", "fetch"]);
  });

  it("does not take a namesake for the machine", () => {
    expect(usesIn("router.fetch(1); clock.setTimeout(f); const o = { fetch: 1, performance: 2 };")).toEqual(
      [],
    );
    expect(usesIn("function fetch(): void {}\nfetch();")).toEqual([]);
    expect(usesIn('import { fetch } from "./fetch.ts";\nfetch();')).toEqual([]);
    expect(usesIn("let timer: ReturnType<typeof setTimeout>;")).toEqual([]);
    expect(usesIn('import { createHash } from "node:crypto";\nrandom.bytes(4);')).toEqual([]);
  });

  it("finds what is too long", () => {
    expect(findLongLines("a.ts", `${"x".repeat(110)}\n${"x".repeat(111)}\n`)).toEqual([
      "a.ts:2 is 111 columns wide",
    ]);
    expect(findLongLines("a.ts", `  message: "${"x".repeat(110)}",\n`)).toEqual([]);
    expect(findLongLines("a.ts", `f("a", "${"x".repeat(110)}");`)).toHaveLength(1);
    expect(findLongFile("a.ts", "\n".repeat(400))).toEqual([]);
    expect(findLongFile("a.ts", "\n".repeat(401))).toHaveLength(1);
    const body = "\n  x();".repeat(69);
    expect(findLongFunctions(parse(`function fits() {${"\n".repeat(69)}}`))).toEqual([]);
    expect(findLongFunctions(parse(`\nfunction large() {${body}\n}`))).toEqual([
      `${LOG}:2 large has 71 lines, more than 70`,
    ]);
    expect(findLongFunctions(parse(`const large = () => {${body}\n};`))).toHaveLength(1);
    expect(findLongFunctions(parse(`class A {\n  #large() {${body}\n  }\n}`))).toHaveLength(1);
    expect(findLongFunctions(parse(`describe.each(rows)("suite", () => {${body}\n});`))).toEqual([]);
    expect(findLongFunctions(parse(`it("test", () => {${body}\n});`))).toHaveLength(1);
  });

  it("finds syntax that needs a build step", () => {
    const text = "enum A {}\nnamespace B { f(); }\nclass C {\n  constructor(readonly d: number) {}\n}";
    expect(findUnerasableSyntax(parse(text))).toEqual([
      `${LOG}:1 declares an enum`,
      `${LOG}:2 declares a namespace`,
      `${LOG}:4 declares a property by a constructor's parameter`,
    ]);
    expect(
      findUnerasableSyntax(parse("const E = { A: 1 } as const; class C { constructor(d: number) {} }")),
    ).toEqual([]);
  });

  it("finds tests that are left out", () => {
    const text =
      'it.only("a", f);\ndescribe.skip("b", f);\ntest.todo("c");\nit.each([1])("d", f);\nlist.only();';
    expect(findSwitchedOffTests(parse(text))).toHaveLength(3);
  });

  it("finds code in an index, and marks of unfinished work", () => {
    const index =
      'export { a } from "./a.ts";\nexport type * from "./b.ts";\nexport const c = 1;\nconst d = 2;';
    expect(findCodeInIndex(parse(index))).toHaveLength(2);
    expect(findCodeInIndex(parse("export {};"))).toHaveLength(1);
    expect(findUnfinishedMarks(parse("// TODO: more\n// @ts-expect-error\nconst todo = 1;"))).toHaveLength(2);
  });
});

describe("the rule of package boundaries", () => {
  const manifests = [
    parseManifest("packages/errors", '{ "name": "@ottla/errors" }'),
    parseManifest("packages/rpc", '{ "name": "@ottla/rpc", "dependencies": { "@ottla/errors": "" } }'),
    parseManifest("packages/log", '{ "name": "@ottla/log", "devDependencies": { "@ottla/rpc": "" } }'),
    parseManifest("packages/odd", '{ "name": "@ottla/odd" }'),
    parseManifest("services/gateway", '{ "name": "@ottla/gateway" }'),
    parseManifest("services/standalone", '{ "name": "@ottla/standalone" }'),
  ];
  const breaches = (path: string, ...specifiers: string[]) => {
    const text = specifiers.map((specifier) => `import "${specifier}";`).join("\n");
    return findBoundaryBreaches([parse(text, path)], manifests).map((line) => line.split(": ")[0]);
  };

  it("lets code use what lies before it", () => {
    expect(
      breaches(LOG, "@ottla/errors", "@ottla/errors/sub", "./a.ts", "../fixtures/a.json", "zod"),
    ).toEqual([]);
    expect(breaches("services/gateway/src/a.ts", "@ottla/log", "@ottla/rpc")).toEqual([]);
    expect(breaches("services/standalone/src/a.ts", "@ottla/gateway")).toEqual([]);
    expect(breaches("scripts/a.ts", "../packages/log/src/log.ts")).toEqual([]);
  });

  it("finds what goes against the order or past a door", () => {
    expect(
      breaches(LOG, "@ottla/rpc", "@ottla/gateway", "@ottla/none", "../../errors/src/a.ts", "./a"),
    ).toEqual([
      `${LOG}:1 imports @ottla/rpc`,
      `${LOG}:2 imports @ottla/gateway`,
      `${LOG}:3 imports @ottla/none`,
      `${LOG}:4 imports ../../errors/src/a.ts`,
      `${LOG}:5 imports ./a`,
    ]);
    expect(breaches("services/gateway/src/a.ts", "@ottla/standalone")).toHaveLength(1);
    expect(findManifestBreaches(manifests)).toEqual([
      expect.stringMatching(/^packages\/log\/package.json depends on @ottla\/rpc: a package uses only/),
      expect.stringMatching(/^packages\/odd has no place/),
    ]);
  });
});
