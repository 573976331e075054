import { beforeAll, describe, expect, it } from "vitest";
import { ALLOWED_IN_TESTS, MACHINE_EXCEPTIONS, SIZE_EXCEPTIONS } from "./exceptions.ts";
import { type Manifest, parseManifest } from "./packages.ts";
import { findBoundaryBreaches, findManifestBreaches } from "./rule-boundaries.ts";
import { findMachineUses, type MachineUse } from "./rule-machine.ts";
import { findLongFile, findLongFunctions, findLongLines } from "./rule-sizes.ts";
import {
  findCodeInIndex,
  findSwitchedOffTests,
  findUnerasableSyntax,
  findUnfinishedMarks,
} from "./rule-syntax.ts";
import { listTree, parseSources, readTreeFile, type Source } from "./source-tree.ts";

let paths: string[];
let sources: Source[];
let manifests: Manifest[];

beforeAll(() => {
  paths = listTree();
  const scripts = paths.filter((path) => path.endsWith(".ts"));
  sources = parseSources(Object.fromEntries(scripts.map((path) => [path, readTreeFile(path)])));
  manifests = paths
    .filter((path) => /^(?:(?:packages|services)\/[^/]+|tests|bench)\/package\.json$/.test(path))
    .map((path) => parseManifest(path.replace("/package.json", ""), readTreeFile(path)));
});

/** The rules of STYLE and DESIGN that a machine can hold. */
describe("the tree is tidy", () => {
  it("has lines that end by column 110", () => {
    // The schemas of google.rpc and of gRPC's own services are others' text, kept as it came.
    const written = paths
      .filter((path) => /\.(?:ts|js|sh|proto)$/.test(path) || path === "Makefile")
      .filter((path) => !/^proto\/(?:google|grpc)\//.test(path));
    const found = written.flatMap((path) => findLongLines(path, readTreeFile(path)));
    expect(withoutSizeExceptions(found)).toEqual([]);
  });

  it("has files of at most 400 lines", () => {
    const found = sources.flatMap((source) => findLongFile(source.path, source.text));
    expect(withoutSizeExceptions(found)).toEqual([]);
  });

  it("has functions of at most 70 lines", () => {
    expect(withoutSizeExceptions(sources.flatMap(findLongFunctions))).toEqual([]);
  });

  it("reaches time, randomness, disk and network through packages/runtime only", () => {
    const product = sources.filter(({ home }) => /^(?:packages|services)\//.test(home));
    const found = product
      .filter((source) => source.home !== "packages/runtime")
      .flatMap((source) => findMachineUses(source).filter((use) => !isAllowed(use, source)));
    expect(found.map((use) => `${use.place} uses ${use.what}`)).toEqual([]);
  });

  it("keeps no exception that nothing needs any more", () => {
    const uses = sources.flatMap(findMachineUses);
    const unneeded = MACHINE_EXCEPTIONS.flatMap((exception) =>
      exception.uses
        .filter((what) => !uses.some((use) => use.what === what && covers(exception.path, use.path)))
        .map((what) => `${exception.path} no longer uses ${what}`),
    );
    const unknown = SIZE_EXCEPTIONS.filter(({ path }) => !paths.includes(path)).map(({ path }) => path);
    expect([...unneeded, ...unknown]).toEqual([]);
  });

  it("keeps the order of the packages, in imports and in package.json", () => {
    expect(findBoundaryBreaches(sources, manifests)).toEqual([]);
    expect(findManifestBreaches(manifests)).toEqual([]);
  });

  it("has a README in every package and service", () => {
    const homes = manifests.map(({ home }) => home).filter((home) => home.includes("/"));
    expect(homes.filter((home) => !paths.includes(`${home}/README.md`))).toEqual([]);
  });

  it("leaves no test out", () => {
    expect(sources.flatMap(findSwitchedOffTests)).toEqual([]);
  });

  it("runs without a build step", () => {
    expect(sources.flatMap(findUnerasableSyntax)).toEqual([]);
  });

  it("only re-exports in index.ts", () => {
    const indexes = sources.filter(({ path }) => /^(?:packages|services)\/.*\/index\.ts$/.test(path));
    expect(indexes.flatMap(findCodeInIndex)).toEqual([]);
  });

  it("has no marks of unfinished work and silences no check", () => {
    const others = sources.filter(({ path }) => !path.startsWith("tests/tidy/"));
    expect(others.flatMap(findUnfinishedMarks)).toEqual([]);
  });
});

function isAllowed(use: MachineUse, source: Source): boolean {
  if (source.isTest && ALLOWED_IN_TESTS.has(use.what)) return true;
  return MACHINE_EXCEPTIONS.some(({ path, uses }) => covers(path, use.path) && uses.includes(use.what));
}

function covers(exception: string, path: string): boolean {
  return exception.endsWith("/") ? path.startsWith(exception) : path === exception;
}

function withoutSizeExceptions(found: readonly string[]): string[] {
  return found.filter((line) => !SIZE_EXCEPTIONS.some(({ path }) => new RegExp(`^${path}[: ]`).test(line)));
}
