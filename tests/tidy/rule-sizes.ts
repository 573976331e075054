import {
  type FunctionLikeDeclaration,
  isCallExpression,
  isFunctionLikeDeclaration,
  isIdentifier,
  isPropertyAccessExpression,
  isVariableDeclaration,
  type Node,
} from "typescript/unstable/ast";
import { place, type Source, visit } from "./source-tree.ts";

const MAX_COLUMNS = 110;
/**
 * A line that is one text and nothing else. Such a text stays in one piece, so that a message someone
 * reports can be searched for.
 */
const SINGLE_TEXT = /^\s*(?:[\w"]+: |return |: |\? |\+ )?(["'`])(?:\\.|(?!\1).)*\1(?: \+)?[,;)]*$/;
const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;

export function findLongLines(path: string, text: string): string[] {
  const found: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.length > MAX_COLUMNS && !SINGLE_TEXT.test(line))
      found.push(`${path}:${index + 1} is ${line.length} columns wide`);
  }
  return found;
}

export function findLongFile(path: string, text: string): string[] {
  const lines = text.replace(/\n$/, "").split("\n").length;
  return lines > MAX_FILE_LINES ? [`${path} has ${lines} lines, more than ${MAX_FILE_LINES}: split it`] : [];
}

export function findLongFunctions(source: Source): string[] {
  const found: string[] = [];
  visit(source.syntax, (node) => {
    if (!isFunctionLikeDeclaration(node) || isSuite(node)) return;
    const first = source.syntax.getLineAndCharacterOfPosition(node.getStart(source.syntax)).line;
    const lines = source.syntax.getLineAndCharacterOfPosition(node.getEnd()).line - first + 1;
    if (lines > MAX_FUNCTION_LINES) {
      found.push(
        `${place(source, node)} ${nameOf(node)} has ${lines} lines, more than ${MAX_FUNCTION_LINES}`,
      );
    }
  });
  return found;
}

/** What is handed to `describe` only lists tests, which count each for itself. */
function isSuite(node: Node): boolean {
  if (!isCallExpression(node.parent)) return false;
  let callee: Node = node.parent.expression;
  while (isCallExpression(callee) || isPropertyAccessExpression(callee)) callee = callee.expression;
  return isIdentifier(callee) && callee.text === "describe";
}

function nameOf(node: FunctionLikeDeclaration): string {
  const { name } = node as { name?: Node };
  if (name !== undefined) return name.getText();
  return isVariableDeclaration(node.parent) ? node.parent.name.getText() : "(a function)";
}
