import { usageError } from "../exit-codes.ts";

const SIMPLE: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, "0": 0, "\\": 92, a: 7, e: 27 };

/** The bytes of a text in which `\n`, `\t`, `\r`, `\0`, `\e`, `\\` and `\xHH` stand for what they do in C. */
export function unescapeBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (let position = 0; position < text.length; ) {
    const backslash = text.indexOf("\\", position);
    const end = backslash < 0 ? text.length : backslash;
    bytes.push(...Buffer.from(text.slice(position, end), "utf8"));
    if (backslash < 0) break;
    const letter = text[backslash + 1] ?? "";
    const hexadecimal = /^x([0-9a-fA-F]{2})/.exec(text.slice(backslash + 1));
    const simple = SIMPLE[letter];
    if (hexadecimal?.[1] !== undefined) {
      bytes.push(Number.parseInt(hexadecimal[1], 16));
      position = backslash + 4;
    } else if (simple !== undefined) {
      bytes.push(simple);
      position = backslash + 2;
    } else {
      throw usageError(
        `"\\${letter}" in "${text}" is no escape: known are \\n \\r \\t \\0 \\a \\e \\\\ and \\xHH`,
      );
    }
  }
  return Uint8Array.from(bytes);
}
