import {
  isEnumDeclaration,
  isExportDeclaration,
  isIdentifier,
  isModuleDeclaration,
  isParameterDeclaration,
  isPropertyAccessExpression,
} from "typescript/unstable/ast";
import { place, type Source, visit } from "./source-tree.ts";

/** Syntax that needs a build step: the tree runs as it is. */
export function findUnerasableSyntax(source: Source): string[] {
  const found: string[] = [];
  visit(source.syntax, (node) => {
    if (isEnumDeclaration(node)) found.push(`${place(source, node)} declares an enum`);
    if (isModuleDeclaration(node)) found.push(`${place(source, node)} declares a namespace`);
    if (isParameterDeclaration(node) && (node.modifiers?.length ?? 0) > 0) {
      found.push(`${place(source, node)} declares a property by a constructor's parameter`);
    }
  });
  return found;
}

/** Tests that are left out, or that leave out the others. */
export function findSwitchedOffTests(source: Source): string[] {
  const found: string[] = [];
  visit(source.syntax, (node) => {
    if (!isPropertyAccessExpression(node) || !isIdentifier(node.expression)) return;
    const isSuite = ["describe", "it", "suite", "test", "bench"].includes(node.expression.text);
    if (isSuite && ["fails", "only", "skip", "todo"].includes(node.name.text)) {
      found.push(`${place(source, node)} uses .${node.name.text}`);
    }
  });
  return found;
}

/** An `index.ts` says what a package offers, and does nothing. */
export function findCodeInIndex(source: Source): string[] {
  return source.syntax.statements
    .filter((statement) => !isExportDeclaration(statement) || statement.moduleSpecifier === undefined)
    .map((statement) => `${place(source, statement)} does more than re-export`);
}

/** Marks of unfinished work, and comments that silence a check. */
export function findUnfinishedMarks(source: Source): string[] {
  const found: string[] = [];
  for (const [index, line] of source.text.split("\n").entries()) {
    const mark = /\b(?:TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|expect-error|nocheck)/.exec(line);
    if (mark !== null) found.push(`${source.path}:${index + 1} says ${mark[0]}`);
  }
  return found;
}
