import { ALL_VERSIONS, NO_VERSIONS, parseVersions, type VersionRange, type VersionText } from "./versions.ts";

export type PrimitiveKind =
  | "bool"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uuid"
  | "string"
  | "bytes"
  | "records";

export type FieldType =
  | { readonly kind: PrimitiveKind }
  | { readonly kind: "array"; readonly element: FieldType }
  | { readonly kind: "struct"; readonly fields: Fields };

export interface FieldOptions {
  readonly versions: VersionRange;
  readonly nullable: VersionRange;
  readonly tag: number | undefined;
  readonly tagged: VersionRange;
  readonly defaultValue: unknown;
  readonly hasDefault: boolean;
}

const PLAIN: FieldOptions = {
  versions: ALL_VERSIONS,
  nullable: NO_VERSIONS,
  tag: undefined,
  tagged: NO_VERSIONS,
  defaultValue: undefined,
  hasDefault: false,
};

/**
 * One field of a message. `Value` is what a decoder gives, `Given` what an encoder takes, and `Optional` says
 * whether the encoder may be left without it (it then writes the default).
 */
export class Field<Value, Given = Value, Optional extends boolean = boolean> {
  readonly type: FieldType;
  readonly options: FieldOptions;
  /** Types only: never set. */
  declare readonly value: Value;
  declare readonly given: Given;
  declare readonly optional: Optional;

  constructor(type: FieldType, options: FieldOptions = PLAIN) {
    this.type = type;
    this.options = options;
  }

  /** The versions that have the field; in others it is not on the wire and decodes to its default. */
  versions(text: VersionText): Field<Value, Given, true> {
    return new Field(this.type, { ...this.options, versions: parseVersions(text) });
  }

  /** The versions in which it may be null. */
  nullable(text: VersionText): Field<Value | null, Given | null, Optional> {
    return new Field(this.type, { ...this.options, nullable: parseVersions(text) });
  }

  /** A tagged field (KIP-482): absent on the wire while it has its default. */
  tagged(tag: number, text: VersionText): Field<Value, Given, true> {
    return new Field(this.type, { ...this.options, tag, tagged: parseVersions(text) });
  }

  /** The value where the field is absent; without one it is zero, empty, or false. */
  default(value: Value): Field<Value, Given, true> {
    return new Field(this.type, { ...this.options, defaultValue: value, hasDefault: true });
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a record of fields of any value types;
// inference needs the wildcard
export type Fields = { readonly [name: string]: Field<unknown, unknown> };

type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends Field<unknown, unknown, infer O>
    ? true extends O
      ? O extends true
        ? K
        : never
      : never
    : never;
}[keyof F];

/** What a decoder of these fields gives. */
export type Decoded<F extends Fields> = { -readonly [K in keyof F]: F[K]["value"] };

/** What an encoder of these fields takes. */
export type Encodable<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalKeys<F>>]: F[K]["given"];
} & {
  readonly [K in OptionalKeys<F>]?: F[K]["given"] | undefined;
};

/** Record batches: a view when decoded; one or several pieces, never copied, when encoded. */
export type RecordsGiven = Uint8Array | readonly Uint8Array[];

export const bool: Field<boolean, boolean, false> = new Field({ kind: "bool" });
export const int8: Field<number, number, false> = new Field({ kind: "int8" });
export const int16: Field<number, number, false> = new Field({ kind: "int16" });
export const int32: Field<number, number, false> = new Field({ kind: "int32" });
/** As a number: exact up to 2^53, beyond it the nearest (no offset, timestamp or id of ours reaches that). */
export const int64: Field<number, number, false> = new Field({ kind: "int64" });
/** In the text form, lower-case; all zeroes is Kafka's "no id". */
export const uuid: Field<string, string, false> = new Field({ kind: "uuid" });
export const string: Field<string, string, false> = new Field({ kind: "string" });
export const bytes: Field<Uint8Array, Uint8Array, false> = new Field({ kind: "bytes" });
export const records: Field<Uint8Array, RecordsGiven, false> = new Field({ kind: "records" });

/** An array of a primitive or of structs. */
export function array<V, G>(element: Field<V, G>): Field<V[], readonly G[], false>;
export function array<F extends Fields>(element: F): Field<Decoded<F>[], readonly Encodable<F>[], false>;
export function array(element: Field<unknown> | Fields): Field<unknown[], readonly unknown[], false> {
  const type: FieldType = element instanceof Field ? element.type : { kind: "struct", fields: element };
  return new Field({ kind: "array", element: type });
}

/** A struct inside a message. */
export function struct<F extends Fields>(fields: F): Field<Decoded<F>, Encodable<F>, false> {
  return new Field({ kind: "struct", fields });
}

export const ZERO_UUID = "00000000-0000-0000-0000-000000000000";

/** The value of a field that a message leaves out. */
export function defaultOf(field: Field<unknown, unknown>): unknown {
  if (field.options.hasDefault) return field.options.defaultValue;
  switch (field.type.kind) {
    case "bool":
      return false;
    case "string":
      return "";
    case "uuid":
      return ZERO_UUID;
    case "bytes":
      return new Uint8Array(0);
    case "records":
      return null;
    case "array":
      return [];
    case "struct":
      return Object.fromEntries(
        Object.entries(field.type.fields).map(([name, inner]) => [name, defaultOf(inner)]),
      );
    default:
      return 0;
  }
}
