import { array, assert, constantFrom, nat, property, string } from "fast-check";
import { expect, test } from "vitest";
import { LineSplitter } from "./line-splitter.ts";

function split(chunks: readonly Uint8Array[], maxLineBytes = 1000): string[] {
  const splitter = new LineSplitter(maxLineBytes);
  const lines: string[] = [];
  for (const chunk of chunks)
    for (const line of splitter.split(chunk)) lines.push(Buffer.from(line).toString());
  const last = splitter.end();
  if (last !== undefined) lines.push(Buffer.from(last).toString());
  return lines;
}

test("lines are the same however the input is cut into chunks", () => {
  const text = string({ unit: constantFrom("a", "é", "\n", "\r", "\r\n", ":"), maxLength: 60 });
  assert(
    property(text, array(nat(60), { maxLength: 8 }), (input, cuts) => {
      const bytes = Buffer.from(input);
      const places = [
        0,
        ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b),
        bytes.length,
      ];
      const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
      const expected = input.split("\n");
      if (expected.at(-1) === "") expected.pop();
      expect(split(chunks)).toEqual(expected);
    }),
  );
});

test("a line over the limit is refused with its number, before the end of it was read", () => {
  expect(() => split([Buffer.from("short\nlong"), Buffer.from("x".repeat(20))], 10)).toThrow(
    "line 2 is longer than 10",
  );
  expect(() => split([Buffer.from(`${"x".repeat(11)}\n`)], 10)).toThrow("line 1");
});

test("empty lines count, a missing last line feed does not matter", () => {
  expect(split([Buffer.from("\n\na")])).toEqual(["", "", "a"]);
  expect(split([])).toEqual([]);
});

test("only a line feed ends a line: a carriage return is kept as any other byte", () => {
  expect(split([Buffer.from("a\r\n\r\nb\rc")])).toEqual(["a\r", "\r", "b\rc"]);
});
