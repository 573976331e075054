import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BytesInPieces } from "./bytes-in-pieces.ts";

/** Bytes of less than this are as well copied along with the rest. */
const BULK_BYTES = 4 * 1024;
/** A smaller frame is cut from a buffer that others share. */
const LARGE_FRAME_BYTES = 16 * 1024;
const LENGTH_DELIMITED = 2;
const NO_BYTES = new Uint8Array(0);

/** What stands before some bytes in a message: the field's number and their length. */
interface Piece {
  readonly tag: number;
  readonly bytes: Uint8Array;
}

/**
 * A message in its wire form, its bulk still where its owner has it. grpc-js asks a message for its length
 * and has it copied behind the frame's header: so the bulk is copied once. protobuf-es alone copies it into
 * a buffer that doubles as it grows, then to one that fits, and grpc-js copies it from there.
 */
export class EncodedMessage {
  readonly byteLength: number;
  readonly #head: Uint8Array;
  readonly #pieces: readonly Piece[];
  #frame: Uint8Array | undefined;

  constructor(head: Uint8Array, pieces: readonly Piece[]) {
    this.#head = head;
    this.#pieces = pieces;
    let byteLength = head.byteLength;
    for (const { bytes, tag } of pieces) {
      const length = BytesInPieces.lengthOf(bytes);
      byteLength += varintBytes(tag) + varintBytes(length) + length;
    }
    this.byteLength = byteLength;
  }

  /** Whether `release` gives anything back. */
  get isLarge(): boolean {
    return this.byteLength >= LARGE_FRAME_BYTES;
  }

  /** As grpc-js' clients ask for it. */
  get length(): number {
    return this.byteLength;
  }

  /** As of `Buffer`. */
  copy(target: Uint8Array, at: number): number {
    this.#frame = target;
    target.set(this.#head, at);
    let position = at + this.#head.byteLength;
    for (const { bytes, tag } of this.#pieces) {
      position = writeVarint(target, position, tag);
      position = writeVarint(target, position, BytesInPieces.lengthOf(bytes));
      for (const piece of bytes instanceof BytesInPieces ? bytes.pieces : [bytes]) {
        target.set(piece, position);
        position += piece.byteLength;
      }
    }
    return position - at;
  }

  /**
   * The message has left the process: the memory of a large frame is given back at once rather than when the
   * garbage collector comes by. Not to be called while anything may still be written from it.
   */
  release(): void {
    const frame = this.#frame;
    this.#frame = undefined;
    if (frame === undefined || !this.isLarge) return;
    const { buffer } = frame;
    // Shared with nothing: grpc-js has made it for this message.
    if (buffer instanceof ArrayBuffer && buffer.byteLength === frame.byteLength) buffer.transfer(0);
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.byteLength);
    this.copy(bytes, 0);
    this.#frame = undefined;
    return bytes;
  }
}

/** Encodes a message, or what a message can be made of. Its bulk is not to be changed any more. */
export function encodeMessage(schema: DescMessage, message: object): EncodedMessage {
  const pieces: Piece[] = [];
  const without: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const bulk = bulkOf(field, message);
    if (bulk === undefined) continue;
    const tag = (field.number << 3) | LENGTH_DELIMITED;
    for (const bytes of bulk) pieces.push({ tag, bytes });
    without[field.localName] = field.fieldKind === "list" ? [] : NO_BYTES;
  }
  if (pieces.length === 0)
    return new EncodedMessage(toBinary(schema, create(schema, message as Message)), []);
  const rest: object = Object.assign(Object.create(Object.getPrototypeOf(message)), message, without);
  return new EncodedMessage(toBinary(schema, create(schema, rest as Message)), pieces);
}

/** The bytes of a field that are worth to be left where they are. */
function bulkOf(field: DescField, message: object): readonly Uint8Array[] | undefined {
  const isList = field.fieldKind === "list" && field.listKind === "scalar";
  if (!isList && field.fieldKind !== "scalar") return undefined;
  if (field.scalar !== ScalarType.BYTES || field.oneof !== undefined) return undefined;
  const value: unknown = Reflect.get(message, field.localName);
  const bulk: readonly unknown[] = Array.isArray(value) ? value : [value];
  let sizeBytes = 0;
  for (const bytes of bulk) {
    // What is not bytes is for the encoder to refuse.
    if (!(bytes instanceof Uint8Array)) return undefined;
    // Only here are they joined.
    sizeBytes += bytes instanceof BytesInPieces ? BULK_BYTES : bytes.byteLength;
  }
  return sizeBytes < BULK_BYTES ? undefined : (bulk as readonly Uint8Array[]);
}

function varintBytes(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) size += 1;
  return size;
}

function writeVarint(target: Uint8Array, at: number, value: number): number {
  let position = at;
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) target[position++] = (rest & 0x7f) | 0x80;
  target[position++] = rest;
  return position;
}

/**
 * For grpc-js' clients, whose types want a `Buffer`: all that they do with it is to ask for its length and to
 * have it copied. Served calls take whatever their serializer returns.
 */
export function asBuffer(message: EncodedMessage): Buffer {
  return message as Pick<Buffer, "byteLength" | "length"> as Buffer;
}
