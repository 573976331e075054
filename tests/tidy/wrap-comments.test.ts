import { describe, expect, it } from "vitest";
import { wrapComments } from "./wrap-comments.ts";

const WORDS = "seven letters and more ".repeat(5).trim();

describe("wrapComments", () => {
  it("leaves what fits, and all that is not a comment, as it is", () => {
    const text = `#!/bin/sh ${"x".repeat(120)}\n// short\nconst text = "${WORDS} ${WORDS}";\n/** short */\n`;
    expect(wrapComments(text)).toBe(text);
    expect(wrapComments("")).toBe("");
  });

  it("wraps a group of line comments as one paragraph, without a word alone on its last line", () => {
    const text = `  // ${WORDS} ${"y".repeat(6)}.\n  f();`;
    const lines = wrapComments(text).split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]?.length).toBeLessThanOrEqual(110);
    expect(lines[1]?.split(" ").length).toBeGreaterThan(4);
    expect(
      lines
        .map((line) => line.replace("  // ", ""))
        .slice(0, 2)
        .join(" "),
    ).toBe(`${WORDS} yyyyyy.`);
    expect(lines[2]).toBe("  f();");
  });

  it("opens a doc comment of one line, and keeps one of several", () => {
    expect(wrapComments(`  /** ${WORDS} */\n  f();`)).toMatch(
      /^ {2}\/\*\*\n {3}\* seven.*\n {3}\* .*more\n {3}\*\/\n {2}f\(\);$/,
    );
    const several = `/**\n * ${WORDS} ${WORDS}\n *\n * Second.\n */`;
    const wrapped = wrapComments(several);
    expect(wrapped).toMatch(/^\/\*\*\n \* seven[^]*more\n \*\n \* Second\.\n \*\/$/);
    expect(wrapComments(wrapped)).toBe(wrapped);
  });

  it("hangs the lines of a list's item, and leaves tables and code alone", () => {
    const text = `/**\n * Two:\n * - ${WORDS} ${WORDS}\n * - short\n *\n *     code();\n */`;
    expect(wrapComments(text)).toMatch(
      / \* Two:\n \* - seven.*\n \* {3}\w.*\n( \* {3}.*\n)* \* - short\n \*\n \* {5}code\(\);\n/,
    );
  });
});
