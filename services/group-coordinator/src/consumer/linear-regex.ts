import { OttlaError } from "@ottla/errors";

/**
 * Regular expressions of clients, matched in time that grows with the length of the text and never explodes,
 * as those of RE2: JavaScript's own can be made to run for years. Without back-references and look-around,
 * which RE2 lacks too.
 */
export interface LinearRegex {
  /** Whether the whole text matches. */
  matches(text: string): boolean;
}

type CharacterTest = (code: number) => boolean;

type Node =
  | { readonly kind: "character"; readonly test: CharacterTest }
  | { readonly kind: "start" | "end" }
  | { readonly kind: "empty" }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Node[] }
  | { readonly kind: "repeat"; readonly part: Node; readonly min: number; readonly max: number };

type Instruction =
  | { readonly kind: "character"; readonly test: CharacterTest }
  | { readonly kind: "start" | "end" | "match" }
  | { readonly kind: "split"; readonly targets: number[] };

const MAX_INSTRUCTIONS = 10_000;
const MAX_REPEAT = 1_000;
const MAX_DEPTH = 100;

/** Throws INVALID_REGULAR_EXPRESSION. */
export function compileRegex(pattern: string): LinearRegex {
  const program: Instruction[] = [];
  emit(new Parser(pattern).parse(), program);
  program.push({ kind: "match" });
  return { matches: (text) => run(program, text) };
}

function invalid(reason: string): OttlaError {
  return new OttlaError("INVALID_REGULAR_EXPRESSION", `the regular expression cannot be used: ${reason}`);
}

function emit(node: Node, program: Instruction[]): void {
  if (program.length > MAX_INSTRUCTIONS) throw invalid("it is too large");
  switch (node.kind) {
    case "empty":
      return;
    case "character":
    case "start":
    case "end":
      program.push(node);
      return;
    case "sequence":
      for (const part of node.parts) emit(part, program);
      return;
    case "choice":
      emitChoice(node.parts, program);
      return;
    case "repeat":
      emitRepeat(node.part, node.min, node.max, program);
      return;
    default:
      node satisfies never;
  }
}

function emitChoice(parts: readonly Node[], program: Instruction[]): void {
  const targets: number[] = [];
  program.push({ kind: "split", targets });
  const ends: number[][] = [];
  for (const part of parts) {
    targets.push(program.length);
    emit(part, program);
    const end: number[] = [];
    ends.push(end);
    program.push({ kind: "split", targets: end });
  }
  for (const end of ends) end.push(program.length);
}

function emitRepeat(part: Node, min: number, max: number, program: Instruction[]): void {
  for (let count = 0; count < min; count += 1) emit(part, program);
  if (max === Number.POSITIVE_INFINITY) {
    const at = program.length;
    const targets = [at + 1];
    program.push({ kind: "split", targets });
    emit(part, program);
    program.push({ kind: "split", targets: [at] });
    targets.push(program.length);
    return;
  }
  const skips: number[][] = [];
  for (let count = min; count < max; count += 1) {
    const targets = [program.length + 1];
    skips.push(targets);
    program.push({ kind: "split", targets });
    emit(part, program);
  }
  for (const targets of skips) targets.push(program.length);
}

/** All ways through the program at once: a set of places, moved on character by character. */
function run(program: readonly Instruction[], text: string): boolean {
  let places = new Set<number>();
  const reach = (start: number, into: Set<number>, position: number): void => {
    const open = [start];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (into.has(at)) continue;
      into.add(at);
      const instruction = program[at];
      if (instruction?.kind === "split") open.push(...instruction.targets);
      else if (instruction?.kind === "start" && position === 0) open.push(at + 1);
      else if (instruction?.kind === "end" && position === text.length) open.push(at + 1);
    }
  };
  reach(0, places, 0);
  for (let position = 0; position < text.length; position += 1) {
    const next = new Set<number>();
    for (const at of places) {
      const instruction = program[at];
      if (instruction?.kind === "character" && instruction.test(text.charCodeAt(position))) {
        reach(at + 1, next, position + 1);
      }
    }
    if (next.size === 0) return false;
    places = next;
  }
  return places.has(program.length - 1);
}

class Parser {
  readonly #pattern: string;
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  parse(): Node {
    const node = this.#choice();
    if (this.#at < this.#pattern.length) throw invalid(`")" at ${this.#at} closes nothing`);
    return node;
  }

  #choice(): Node {
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: "choice", parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#pattern.length && this.#next !== "|" && this.#next !== ")") {
      parts.push(this.#quantified(this.#atom()));
    }
    return parts.length === 0 ? { kind: "empty" } : { kind: "sequence", parts };
  }

  #quantified(part: Node): Node {
    const range = this.#quantifier();
    if (range === undefined) return part;
    // Lazy or not: the same texts match.
    this.#take("?");
    return { kind: "repeat", part, ...range };
  }

  #quantifier(): { readonly min: number; readonly max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { min: 0, max: 1 };
    const match = /^\{(\d{1,4})(,(\d{1,4})?)?\}/.exec(this.#pattern.slice(this.#at));
    if (match === null) return undefined;
    this.#at += match[0].length;
    const min = Number(match[1]);
    const upper = match[3] === undefined ? Number.POSITIVE_INFINITY : Number(match[3]);
    const max = match[2] === undefined ? min : upper;
    if (min > MAX_REPEAT || max < min || (max > MAX_REPEAT && max !== Number.POSITIVE_INFINITY)) {
      throw invalid(`the repetition ${match[0]} is not allowed`);
    }
    return { min, max };
  }

  #atom(): Node {
    const character = this.#pattern[this.#at++] ?? "";
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "character", test: this.#characterClass() };
      case ".":
        return { kind: "character", test: (code) => code !== 10 };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "\\":
        return { kind: "character", test: this.#escape() };
      case "*":
      case "+":
      case "?":
        throw invalid(`"${character}" at ${this.#at - 1} repeats nothing`);
      default:
        return { kind: "character", test: equals(character.charCodeAt(0)) };
    }
  }

  #group(): Node {
    if (this.#take("?") && !this.#take(":"))
      throw invalid("only (?: is served of the groups that begin with (?");
    if (++this.#depth > MAX_DEPTH) throw invalid("its groups are nested too deeply");
    const node = this.#choice();
    this.#depth -= 1;
    if (!this.#take(")")) throw invalid("a group is not closed");
    return node;
  }

  #characterClass(): CharacterTest {
    const isNegated = this.#take("^");
    const tests: CharacterTest[] = [];
    for (let first = true; first || this.#next !== "]"; first = false) {
      if (this.#at >= this.#pattern.length) throw invalid("a character class is not closed");
      tests.push(this.#classMember());
    }
    this.#at += 1;
    return (code) => tests.some((test) => test(code)) !== isNegated;
  }

  #classMember(): CharacterTest {
    const character = this.#pattern[this.#at++] ?? "";
    if (character === "\\") return this.#escape();
    const from = character.charCodeAt(0);
    const end = this.#pattern[this.#at + 1];
    if (this.#next !== "-" || end === undefined || end === "]" || end === "\\") return equals(from);
    this.#at += 2;
    const to = end.charCodeAt(0);
    if (to < from) throw invalid(`the range ${character}-${end} is empty`);
    return (code) => code >= from && code <= to;
  }

  #escape(): CharacterTest {
    const character = this.#pattern[this.#at++];
    if (character === undefined) throw invalid("it ends with a backslash");
    const test = CLASSES.get(character.toLowerCase());
    if (test !== undefined) return character === character.toLowerCase() ? test : (code) => !test(code);
    if (/[A-Za-z0-9]/.test(character)) throw invalid(`\\${character} is not served`);
    return equals(character.charCodeAt(0));
  }

  get #next(): string | undefined {
    return this.#pattern[this.#at];
  }

  #take(character: string): boolean {
    if (this.#next !== character) return false;
    this.#at += 1;
    return true;
  }
}

function equals(expected: number): CharacterTest {
  return (code) => code === expected;
}

const CLASSES: ReadonlyMap<string, CharacterTest> = new Map<string, CharacterTest>([
  ["d", (code) => code >= 48 && code <= 57],
  ["w", (code) => /\w/.test(String.fromCharCode(code))],
  ["s", (code) => code === 32 || (code >= 9 && code <= 13)],
]);
