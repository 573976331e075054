import { type DescMessage, ScalarType } from "@bufbuild/protobuf";

/**
 * Stands for bytes that lie in several pieces, as an element of a field of `bytes` at the top level of a
 * message: the other side gets them in one, and nobody has to join them first. It has no bytes of its own;
 * transports know it, and nothing else is to be handed one.
 */
export class BytesInPieces extends Uint8Array {
  readonly pieces: readonly Uint8Array[];

  constructor(pieces: readonly Uint8Array[]) {
    super(0);
    this.pieces = pieces;
  }

  /** What the pieces of some bytes come to: of plain ones, their length. */
  static lengthOf(bytes: Uint8Array): number {
    if (!(bytes instanceof BytesInPieces)) return bytes.byteLength;
    let byteLength = 0;
    for (const piece of bytes.pieces) byteLength += piece.byteLength;
    return byteLength;
  }

  joined(): Uint8Array {
    const joined = new Uint8Array(BytesInPieces.lengthOf(this));
    let position = 0;
    for (const piece of this.pieces) {
      joined.set(piece, position);
      position += piece.byteLength;
    }
    return joined;
  }
}

/** The message as its receiver is to see it, where it is handed over without being encoded. */
export function joinPieces<T extends object>(schema: DescMessage, message: T): T {
  let joined = message;
  for (const field of schema.fields) {
    if (field.fieldKind !== "list" || field.listKind !== "scalar" || field.scalar !== ScalarType.BYTES)
      continue;
    const list: unknown = Reflect.get(message, field.localName);
    if (!Array.isArray(list) || !list.some((bytes) => bytes instanceof BytesInPieces)) continue;
    const whole = list.map((bytes: unknown) => (bytes instanceof BytesInPieces ? bytes.joined() : bytes));
    joined = Object.assign(Object.create(Object.getPrototypeOf(message)), joined, {
      [field.localName]: whole,
    }) as T;
  }
  return joined;
}
