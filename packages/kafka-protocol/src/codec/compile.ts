import { type Decoded, defaultOf, type Encodable, type Field, type Fields, type FieldType } from "./field.ts";
import { FrameReader, malformed } from "./reader.ts";
import { includesVersion, type VersionRange } from "./versions.ts";
import { FrameWriter } from "./writer.ts";

export interface Codec<F extends Fields> {
  decode(reader: FrameReader): Decoded<F>;
  encode(writer: FrameWriter, message: Encodable<F>): void;
}

/** A tag section may hold unknown tags of newer versions; more than this many is not a real client. */
const TAGS_MAX = 1024;

/**
 * Turns the schema of one version of a message into straight-line code: one function a struct, one call a
 * field, with no look at the schema when it runs. The text of that code comes from our own schemas only.
 */
export function compile<F extends Fields>(fields: F, version: number, flexible: boolean): Codec<F> {
  const generator = new Generator(version, flexible);
  const decode = generator.struct(fields, "decode");
  const encode = generator.struct(fields, "encode");
  const source = `${generator.source}\nreturn { decode: ${decode}, encode: ${encode} };`;
  // oxlint-disable-next-line typescript/no-implied-eval -- the source is made from our schemas alone
  const build = new Function("defaults", "malformed", "FrameReader", "FrameWriter", source) as (
    ...environment: unknown[]
  ) => Codec<F>;
  return build(generator.defaults, malformed, FrameReader, FrameWriter);
}

type Direction = "decode" | "encode";

class Generator {
  readonly #version: number;
  readonly #flexible: boolean;
  readonly #functions: string[] = [];
  /** Default values that are not written as literals; each use makes a fresh one. */
  readonly defaults: (() => unknown)[] = [];

  constructor(version: number, flexible: boolean) {
    this.#version = version;
    this.#flexible = flexible;
  }

  get source(): string {
    return `"use strict";\n${this.#functions.join("\n")}`;
  }

  struct(fields: Fields, direction: Direction): string {
    const body = direction === "decode" ? this.#decodeBody(fields) : this.#encodeBody(fields);
    const name = `${direction}${this.#functions.length}`;
    const parameters = direction === "decode" ? "r" : "w, m";
    this.#functions.push(`function ${name}(${parameters}) {\n${body.join("\n")}\n}`);
    return name;
  }

  #has(range: VersionRange): boolean {
    return includesVersion(range, this.#version);
  }

  #isTagged(field: Field<unknown, unknown>): boolean {
    return this.#flexible && field.options.tag !== undefined && this.#has(field.options.tagged);
  }

  #default(field: Field<unknown, unknown>): string {
    const value = defaultOf(field);
    if (
      value === null ||
      typeof value === "number" ||
      typeof value === "boolean" ||
      typeof value === "string"
    ) {
      return typeof value === "string" ? JSON.stringify(value) : String(value);
    }
    return `defaults[${this.defaults.push(() => defaultOf(field)) - 1}]()`;
  }

  #decodeBody(fields: Fields): string[] {
    const lines: string[] = [];
    const tagged: string[] = [];
    const names = Object.keys(fields);
    for (const [index, field] of Object.values(fields).entries()) {
      const present = this.#has(field.options.versions);
      if (present && this.#isTagged(field)) {
        lines.push(`let f${index} = ${this.#default(field)};`);
        tagged.push(`case ${field.options.tag}: f${index} = ${this.#read(field)}; break;`);
      } else {
        lines.push(`const f${index} = ${present ? this.#read(field) : this.#default(field)};`);
      }
    }
    if (this.#flexible) lines.push(...tagSection(tagged));
    lines.push(`return { ${names.map((name, index) => `${name}: f${index}`).join(", ")} };`);
    return lines;
  }

  #read(field: Field<unknown, unknown>): string {
    return this.#readType(field.type, this.#has(field.options.nullable));
  }

  #readType(type: FieldType, nullable: boolean): string {
    const onNull = nullable
      ? "null"
      : `(() => { throw malformed("a null ${type.kind} where none may be"); })()`;
    switch (type.kind) {
      case "string":
        return `((n) => n < 0 ? ${onNull} : r.text(n))(r.stringLength(${this.#flexible}))`;
      case "bytes":
      case "records":
        return `((n) => n < 0 ? ${nullable || type.kind === "records" ? "null" : onNull} : r.view(n))(r.bytesLength(${this.#flexible}))`;
      case "array":
        return `${this.#arrayReader(type.element, onNull)}(r)`;
      case "struct": {
        const read = `${this.struct(type.fields, "decode")}(r)`;
        return nullable ? `(r.int8() < 0 ? null : ${read})` : read;
      }
      default:
        return `r.${type.kind}()`;
    }
  }

  #arrayReader(element: FieldType, onNull: string): string {
    const read = this.#readType(element, false);
    const name = `array${this.#functions.length}`;
    this.#functions.push(`function ${name}(r) {
  const n = r.arrayLength(${this.#flexible}, ${this.#bytesMin(element)});
  if (n < 0) return ${onNull};
  const a = [];
  for (let i = 0; i < n; i++) a.push(${read});
  return a;
}`);
    return name;
  }

  /** The fewest bytes one value takes: what bounds an array's length by its frame. At least 1. */
  #bytesMin(type: FieldType): number {
    switch (type.kind) {
      case "int16":
        return 2;
      case "int32":
        return 4;
      case "int64":
        return 8;
      case "uuid":
        return 16;
      case "string":
        return this.#flexible ? 1 : 2;
      case "bytes":
      case "records":
      case "array":
        return this.#flexible ? 1 : 4;
      case "struct":
        return Math.max(1, this.#structBytesMin(type.fields));
      default:
        return 1;
    }
  }

  #structBytesMin(fields: Fields): number {
    let bytes = this.#flexible ? 1 : 0;
    for (const field of Object.values(fields)) {
      if (!this.#has(field.options.versions) || this.#isTagged(field)) continue;
      const mayBeNullStruct = field.type.kind === "struct" && this.#has(field.options.nullable);
      bytes += mayBeNullStruct ? 1 : this.#bytesMin(field.type);
    }
    return bytes;
  }

  #encodeBody(fields: Fields): string[] {
    const lines: string[] = [];
    const tagged: { tag: number; code: string[] }[] = [];
    for (const [name, field] of Object.entries(fields)) {
      if (!this.#has(field.options.versions)) continue;
      const value = `(m.${name} === undefined ? ${this.#default(field)} : m.${name})`;
      if (this.#isTagged(field) && field.options.tag !== undefined) {
        tagged.push({ tag: field.options.tag, code: this.#encodeTagged(name, field) });
      } else {
        lines.push(this.#write(field.type, value, this.#has(field.options.nullable)));
      }
    }
    if (!this.#flexible) return lines;
    if (tagged.length === 0) return [...lines, "w.unsignedVarint(0);"];
    tagged.sort((left, right) => left.tag - right.tag);
    lines.push("const tags = [];", ...tagged.flatMap((entry) => entry.code), ...WRITE_TAGS);
    return lines;
  }

  #encodeTagged(name: string, field: Field<unknown, unknown>): string[] {
    const nullable = this.#has(field.options.nullable);
    return [
      `if (m.${name} !== undefined && !(${isDefault(field, `m.${name}`, this.#default(field))})) {`,
      `  const t = new FrameWriter();`,
      `  (function (w) { ${this.#write(field.type, `m.${name}`, nullable)} })(t);`,
      `  tags.push([${field.options.tag}, t]);`,
      "}",
    ];
  }

  #write(type: FieldType, value: string, nullable: boolean): string {
    switch (type.kind) {
      case "string":
      case "bytes":
      case "records":
        return `w.${type.kind}(${value}, ${this.#flexible});`;
      case "array":
        return `${this.#arrayWriter(type.element, nullable)}(w, ${value});`;
      case "struct": {
        const write = this.struct(type.fields, "encode");
        if (!nullable) return `${write}(w, ${value});`;
        return `{ const s = ${value}; if (s === null) w.int8(-1); else { w.int8(1); ${write}(w, s); } }`;
      }
      default:
        return `w.${type.kind}(${value});`;
    }
  }

  #arrayWriter(element: FieldType, nullable: boolean): string {
    const write = this.#write(element, "a[i]", false);
    const name = `array${this.#functions.length}`;
    const onNull = nullable ? `if (a === null) { w.arrayLength(-1, ${this.#flexible}); return; }\n  ` : "";
    this.#functions.push(`function ${name}(w, a) {
  ${onNull}w.arrayLength(a.length, ${this.#flexible});
  for (let i = 0; i < a.length; i++) { ${write} }
}`);
    return name;
  }
}

const WRITE_TAGS = [
  "w.unsignedVarint(tags.length);",
  "for (const [tag, t] of tags) {",
  "  w.unsignedVarint(tag); w.unsignedVarint(t.sizeBytes);",
  "  for (const piece of t.finish()) w.raw(piece);",
  "}",
];

/** Reads the tag section of a flexible struct (KIP-482): known tags are decoded, unknown ones are skipped. */
function tagSection(known: readonly string[]): string[] {
  return [
    "const tags = r.unsignedVarint();",
    `if (tags > ${TAGS_MAX}) throw malformed("too many tagged fields");`,
    "for (let i = 0; i < tags; i++) {",
    "  const tag = r.unsignedVarint(); const size = r.unsignedVarint(); const from = r.position;",
    `  if (size > r.remaining) throw malformed("a tagged field is longer than its frame");`,
    `  switch (tag) { ${known.join(" ")} default: r.take(size); }`,
    `  if (r.position !== from + size) throw malformed("a tagged field does not have the size it names");`,
    "}",
  ];
}

function isDefault(field: Field<unknown, unknown>, value: string, fallback: string): string {
  switch (field.type.kind) {
    case "array":
      return field.options.hasDefault && field.options.defaultValue === null
        ? `${value} === null`
        : `${value} !== null && ${value}.length === 0`;
    case "struct":
      return field.options.hasDefault && field.options.defaultValue === null ? `${value} === null` : "false";
    case "bytes":
    case "records":
      return field.options.hasDefault && field.options.defaultValue === null
        ? `${value} === null`
        : `${value} !== null && ${value}.length === 0`;
    default:
      return `${value} === ${fallback}`;
  }
}
