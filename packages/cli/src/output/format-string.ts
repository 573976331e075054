import type { ConsumedRecord } from "@ottla/client";
import { usageError } from "../exit-codes.ts";
import { unescapeBytes } from "../input/escapes.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { FORMAT_LETTERS } from "./format-letters.ts";

type Piece = (record: ConsumedRecord, out: ByteWriter) => void;

/** Compiles a format such as `%p %o %k: %s\n`. A null key or value is written as nothing. */
export function compileFormat(format: string): (record: ConsumedRecord, out: ByteWriter) => void {
  const pieces: Piece[] = [];
  let position = 0;
  while (position < format.length) {
    const percent = format.indexOf("%", position);
    const end = percent < 0 ? format.length : percent;
    if (end > position) pieces.push(literal(unescapeBytes(format.slice(position, end))));
    if (percent < 0) break;
    const letter = format[percent + 1] ?? "";
    const piece = pieceOf(letter);
    if (piece === undefined) {
      const known = Object.keys(FORMAT_LETTERS).map((each) => `%${each}`);
      throw usageError(`"%${letter}" in the format is not known: there are ${known.join(" ")}`);
    }
    pieces.push(piece);
    position = percent + 2;
  }
  return (record, out) => {
    for (const piece of pieces) piece(record, out);
  };
}

function literal(bytes: Uint8Array): Piece {
  return (_record, out) => out.bytes(bytes);
}

function pieceOf(letter: string): Piece | undefined {
  switch (letter) {
    case "t":
      return ({ topic }, out) => out.ascii(topic);
    case "p":
      return ({ partition }, out) => out.ascii(String(partition));
    case "o":
      return ({ offset }, out) => out.ascii(offset.toString());
    case "k":
      return ({ key }, out) => key !== null && out.bytes(key);
    case "s":
      return ({ value }, out) => value !== null && out.bytes(value);
    case "h":
      return writeHeaders;
    case "T":
      return ({ timestampMs }, out) => out.ascii(String(timestampMs));
    case "K":
      return ({ key }, out) => out.ascii(String(key === null ? -1 : key.length));
    case "S":
      return ({ value }, out) => out.ascii(String(value === null ? -1 : value.length));
    case "%":
      return (_record, out) => out.ascii("%");
    default:
      return undefined;
  }
}

function writeHeaders({ headers }: ConsumedRecord, out: ByteWriter): void {
  let first = true;
  for (const { key, value } of headers) {
    if (!first) out.ascii(",");
    first = false;
    out.text(key);
    out.ascii("=");
    if (value === null) out.ascii("NULL");
    else out.bytes(value);
  }
}
