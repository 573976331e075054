import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compileRegex } from "./linear-regex.ts";

test.each([
  ["orders-.*", ["orders-", "orders-eu"], ["orders", "my-orders-eu"]],
  ["^(a|b)+$", ["a", "abba"], ["", "abc"]],
  ["[^x]{2,3}", ["ab", "abc"], ["a", "abcd", "ax"]],
  ["\\d+\\.\\w?", ["12.a", "1."], ["a.a", "12a"]],
  ["(?:eu|us)(-[a-f0-9]+)*", ["eu", "us-1f-2"], ["eu-", "de"]],
  ["", [""], ["a"]],
  ["a||b", ["a", "", "b"], ["ab"]],
  ["[]a]", ["]", "a"], ["b"]],
])("%s", (pattern, matching, others) => {
  const regex = compileRegex(pattern);
  expect(matching.filter((text) => !regex.matches(text))).toEqual([]);
  expect(others.filter((text) => regex.matches(text))).toEqual([]);
});

test.each([
  "(",
  ")",
  "a)",
  "[a",
  "*a",
  "a{3,2}",
  "\\",
  "(?=a)",
  "\\1",
  "[z-a]",
  "a{2000}",
  "((((a{999}){999}))",
])("%s is refused", (pattern) => {
  expect(() => compileRegex(pattern)).toThrow(
    expect.objectContaining({ code: "INVALID_REGULAR_EXPRESSION" }),
  );
});

test("what would take JavaScript's own for ever is answered", () => {
  expect(compileRegex("(a+)+b").matches("a".repeat(249))).toBe(false);
  expect(compileRegex("(a|aa)*c").matches("a".repeat(249))).toBe(false);
});

test("agrees with JavaScript's own", () => {
  const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "(a|b)", "(?:ab)", "\\w");
  const quantifier = fc.constantFrom("", "*", "+", "?", "{2}", "{1,2}");
  const part = fc.tuple(atom, quantifier).map((both) => both.join(""));
  const pattern = fc.array(part, { maxLength: 5 }).map((parts) => parts.join(""));
  const text = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 6 }).map((letters) => letters.join(""));
  fc.assert(
    fc.property(pattern, text, (source, letters) => {
      expect(compileRegex(source).matches(letters)).toBe(new RegExp(`^(?:${source})$`).test(letters));
    }),
  );
});
