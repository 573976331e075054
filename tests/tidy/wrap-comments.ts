import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";

/**
 * The formatter leaves comments alone; this wraps those that are too wide. `node wrap-comments.ts FILE...`
 */
const MAX_COLUMNS = 110;
/** Wrapped lines are not much shorter than that, but no single word is left for the last one. */
const MIN_COLUMNS = 90;

/** Breaks the lines of comments that are too wide, paragraph by paragraph. All else stays as it is. */
export function wrapComments(text: string): string {
  const lines = text.split("\n");
  const result: string[] = [];
  let index = 0;
  while (index < lines.length) {
    const block = readDocBlock(lines, index) ?? readLineBlock(lines, index);
    const end = block?.end ?? index + 1;
    const original = lines.slice(index, end);
    const isWide = block !== undefined && original.some((line) => line.length > MAX_COLUMNS);
    result.push(...(isWide ? writeBlock(block) : original));
    index = end;
  }
  return result.join("\n");
}

interface Block {
  readonly kind: "doc" | "line";
  /** What stands before the text of each line. */
  readonly prefix: string;
  /** The text of each line, with what indents it beyond one space. */
  readonly body: readonly string[];
  /** The first line after the block. */
  readonly end: number;
}

function readDocBlock(lines: readonly string[], start: number): Block | undefined {
  const indent = /^(\s*)\/\*\*/.exec(lines[start] ?? "")?.[1];
  if (indent === undefined) return undefined;
  let end = start;
  while (end < lines.length && !(lines[end] ?? "").includes("*/")) end += 1;
  const block = lines.slice(start, end + 1);
  // Code after the comment's end: not a block of its own.
  if (!(block.at(-1) ?? "").endsWith("*/")) return undefined;
  const body = block.map((line, index) => {
    const opened = index === 0 ? line.replace(/^\s*\/\*\*/, "") : line.replace(/^\s*\*(?!\/)/, "");
    return opened
      .replace(/\s*\*\/$/, "")
      .replace(/^ /, "")
      .trimEnd();
  });
  if (body[0] === "" && body.length > 1) body.shift();
  if (body.at(-1) === "" && body.length > 1) body.pop();
  return { kind: "doc", prefix: `${indent} *`, body, end: end + 1 };
}

function readLineBlock(lines: readonly string[], start: number): Block | undefined {
  const prefix = /^\s*(?:\/\/|#(?!!))/.exec(lines[start] ?? "")?.[0];
  if (prefix === undefined) return undefined;
  let end = start;
  while (end < lines.length && (lines[end] ?? "").startsWith(prefix)) end += 1;
  const body = lines.slice(start, end).map((line) => line.slice(prefix.length).replace(/^ /, "").trimEnd());
  return { kind: "line", prefix, body, end };
}

function writeBlock(block: Block): string[] {
  const { prefix, body } = block;
  const wrapped = paragraphs(body).flatMap((paragraph) => wrapParagraph(paragraph, prefix.length + 1));
  const lines = wrapped.map((line) => (line === "" ? prefix : `${prefix} ${line}`));
  if (block.kind === "line") return lines;
  const indent = prefix.slice(0, -2);
  const [only = ""] = wrapped;
  const single = `${indent}/** ${only} */`;
  if (wrapped.length === 1 && single.length <= MAX_COLUMNS) return [single];
  return [`${indent}/**`, ...lines, `${prefix}/`];
}

/** Lines that flow into one another. A list's item is a paragraph with the lines that hang below it. */
function paragraphs(body: readonly string[]): string[][] {
  const found: string[][] = [];
  for (const line of body) {
    const current = found.at(-1);
    const isItem = /^\s*(?:[-*•]|\d+\.) |^@|^\||^\s*$/.test(line);
    const hangs = /^\s/.test(line);
    const currentIsItem = current !== undefined && /^\s*(?:[-*•]|\d+\.) |^@/.test(current[0] ?? "");
    const continues = current !== undefined && current[0] !== "" && !isItem && (!hangs || currentIsItem);
    if (continues) current.push(line);
    else found.push([line]);
  }
  return found;
}

function wrapParagraph(lines: readonly string[], before: number): readonly string[] {
  if (lines.every((line) => before + line.length <= MAX_COLUMNS)) return lines;
  const [first = ""] = lines;
  const indent = /^\s*/.exec(first)?.[0] ?? "";
  const marker = /^\s*((?:[-*•]|\d+\.) )/.exec(first)?.[1] ?? "";
  const words = lines.flatMap((line) => line.trim().split(/\s+/));
  const hanging = indent + " ".repeat(marker.length);
  const widths = Array.from({ length: MAX_COLUMNS - MIN_COLUMNS + 1 }, (_, index) => MIN_COLUMNS + index);
  const fewest = fill(words, indent, hanging, MAX_COLUMNS - before);
  const balanced = widths
    .map((width) => fill(words, indent, hanging, width - before))
    .find((candidate) => candidate.length === fewest.length);
  return balanced ?? fewest;
}

function fill(words: readonly string[], indent: string, hanging: string, columns: number): string[] {
  const lines: string[] = [];
  let line = indent;
  let isEmpty = true;
  for (const word of words) {
    if (!isEmpty && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = hanging;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line];
}

if (import.meta.main) {
  for (const path of process.argv.slice(2)) {
    const before = readFileSync(path, "utf8");
    const after = wrapComments(before);
    if (after !== before) writeFileSync(path, after);
  }
}
