import { OttlaError } from "@ottla/errors";
import { type Codec, compile } from "./compile.ts";
import type { Decoded, Encodable, Fields } from "./field.ts";
import type { FrameReader } from "./reader.ts";
import { includesVersion, parseVersions, type VersionRange, type VersionText } from "./versions.ts";
import type { FrameWriter } from "./writer.ts";

export interface ApiDefinition<Q extends Fields, S extends Fields> {
  /** The number of the API on the wire. */
  readonly key: number;
  readonly name: string;
  /** The versions that these schemas describe. */
  readonly versions: VersionText;
  /** The first flexible version (KIP-482), or undefined when none is. */
  readonly flexibleFrom: number | undefined;
  readonly request: Q;
  readonly response: S;
}

/** One Kafka API: its schemas and, compiled at first use, a codec for each version. */
export class Api<Q extends Fields = Fields, S extends Fields = Fields> {
  readonly key: number;
  readonly name: string;
  readonly versions: VersionRange;
  readonly flexibleFrom: number;
  readonly request: Q;
  readonly response: S;
  readonly #requests = new Map<number, Codec<Q>>();
  readonly #responses = new Map<number, Codec<S>>();

  constructor(definition: ApiDefinition<Q, S>) {
    this.key = definition.key;
    this.name = definition.name;
    this.versions = parseVersions(definition.versions);
    this.flexibleFrom = definition.flexibleFrom ?? Number.POSITIVE_INFINITY;
    this.request = definition.request;
    this.response = definition.response;
  }

  isFlexible(version: number): boolean {
    return version >= this.flexibleFrom;
  }

  decodeRequest(reader: FrameReader, version: number): Decoded<Q> {
    return this.#codec(this.#requests, this.request, version).decode(reader);
  }

  encodeRequest(writer: FrameWriter, version: number, message: Encodable<Q>): void {
    this.#codec(this.#requests, this.request, version).encode(writer, message);
  }

  decodeResponse(reader: FrameReader, version: number): Decoded<S> {
    return this.#codec(this.#responses, this.response, version).decode(reader);
  }

  encodeResponse(writer: FrameWriter, version: number, message: Encodable<S>): void {
    this.#codec(this.#responses, this.response, version).encode(writer, message);
  }

  #codec<F extends Fields>(codecs: Map<number, Codec<F>>, fields: F, version: number): Codec<F> {
    const known = codecs.get(version);
    if (known !== undefined) return known;
    if (!Number.isInteger(version) || !includesVersion(this.versions, version)) {
      throw new OttlaError("UNSUPPORTED_VERSION", `${this.name} version ${version} is not served`);
    }
    const codec = compile(fields, version, this.isFlexible(version));
    codecs.set(version, codec);
    return codec;
  }
}

export type RequestOf<A> = A extends Api<infer Q> ? Decoded<Q> : never;
export type ResponseOf<A> = A extends Api<infer _, infer S> ? Encodable<S> : never;
