import { OttlaError } from "@ottla/errors";
import { type Codec, compile } from "./compile.ts";
import type { Decoded, Encodable, Fields } from "./field.ts";
import { FrameReader } from "./reader.ts";
import { includesVersion, parseVersions, type VersionRange, type VersionText } from "./versions.ts";
import { FrameWriter } from "./writer.ts";

export interface MessageDefinition<F extends Fields> {
  readonly name: string;
  readonly versions: VersionText;
  /** The first flexible version (KIP-482), or undefined when none is. */
  readonly flexibleFrom: number | undefined;
  readonly fields: F;
}

/**
 * A message that stands alone behind an int16 that says its version: values of internal topics, and what
 * members of a group tell one another.
 */
export class MessageSchema<F extends Fields = Fields> {
  readonly name: string;
  readonly versions: VersionRange;
  readonly fields: F;
  readonly #flexibleFrom: number;
  readonly #codecs = new Map<number, Codec<F>>();

  constructor(definition: MessageDefinition<F>) {
    this.name = definition.name;
    this.versions = parseVersions(definition.versions);
    this.fields = definition.fields;
    this.#flexibleFrom = definition.flexibleFrom ?? Number.POSITIVE_INFINITY;
  }

  isFlexible(version: number): boolean {
    return version >= this.#flexibleFrom;
  }

  /** `prefix` takes the place of the version where the number in front says something else: a key's type. */
  encode(version: number, message: Encodable<F>, prefix = version): Uint8Array {
    const writer = new FrameWriter();
    writer.int16(prefix);
    this.#codec(version).encode(writer, message);
    return Buffer.concat(writer.finish());
  }

  /** Throws INVALID_REQUEST for bytes that are none, UNSUPPORTED_VERSION for a version that is not known. */
  decode(bytes: Uint8Array): Decoded<F> {
    const reader = new FrameReader(bytes);
    return this.#codec(reader.int16()).decode(reader);
  }

  /** What follows the number in front, in the given version. */
  decodeBody(bytes: Uint8Array, version: number): Decoded<F> {
    return this.#codec(version).decode(new FrameReader(bytes, PREFIX_BYTES));
  }

  #codec(version: number): Codec<F> {
    const known = this.#codecs.get(version);
    if (known !== undefined) return known;
    if (!includesVersion(this.versions, version)) {
      throw new OttlaError("UNSUPPORTED_VERSION", `${this.name} version ${version} is not known`);
    }
    const codec = compile(this.fields, version, this.isFlexible(version));
    this.#codecs.set(version, codec);
    return codec;
  }
}

const PREFIX_BYTES = 2;

export type MessageOf<S> = S extends MessageSchema<infer F> ? Decoded<F> : never;
export type MessageGivenOf<S> = S extends MessageSchema<infer F> ? Encodable<F> : never;
