import { OttlaError } from "@ottla/errors";

/**
 * Values are JSON objects, checked field by field by hand: a cluster of thousands of partitions parses
 * thousands of values at start, and a schema library costs many times more. Fields that this version does not
 * know are kept: a parsed value is the object itself, so `{ ...state, leader: 2 }` carries them along in a
 * rolling upgrade.
 */
export interface ValueCodec<T> {
  /** Throws METADATA_CONFLICT that names the key and the field when the bytes are not such a value. */
  parse(bytes: Uint8Array, key: string): T;
  encode(value: T): Uint8Array;
}

type Fields = { readonly [name: string]: unknown };

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** Builds a codec from a check, which throws through the `FieldCheck` it is given. */
export function valueCodec<T extends object>(
  kind: string,
  check: (fields: FieldCheck) => void,
): ValueCodec<T> {
  return {
    parse(bytes, key) {
      const fields = parseObject(bytes, kind, key);
      check(new FieldCheck(fields, kind, key));
      // The check above has looked at every field of T; what else is in the object rides along.
      return fields as T;
    },
    encode(value) {
      return encoder.encode(JSON.stringify(value));
    },
  };
}

function parseObject(bytes: Uint8Array, kind: string, key: string): Fields {
  let parsed: unknown;
  try {
    parsed = JSON.parse(decoder.decode(bytes));
  } catch (cause) {
    throw badValue(kind, key, "is not JSON", cause);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw badValue(kind, key, "is not a JSON object");
  }
  return parsed as Fields;
}

function badValue(kind: string, key: string, problem: string, cause?: unknown): OttlaError {
  const options = { metadata: { key } };
  return new OttlaError(
    "METADATA_CONFLICT",
    `metadata key ${key}: the ${kind} ${problem}`,
    cause === undefined ? options : { ...options, cause },
  );
}

/** Checks the fields of one parsed object; each method throws an error that names key and field. */
export class FieldCheck {
  readonly #fields: Fields;
  readonly #kind: string;
  readonly #key: string;

  constructor(fields: Fields, kind: string, key: string) {
    this.#fields = fields;
    this.#kind = kind;
    this.#key = key;
  }

  text(name: string): void {
    if (typeof this.#fields[name] !== "string") this.#fail(name, "a string");
  }

  optionalText(name: string): void {
    if (this.#fields[name] !== undefined) this.text(name);
  }

  boolean(name: string): void {
    if (typeof this.#fields[name] !== "boolean") this.#fail(name, "true or false");
  }

  optionalBoolean(name: string): void {
    if (this.#fields[name] !== undefined) this.boolean(name);
  }

  /** A safe integer ≥ `minimum`. */
  integer(name: string, minimum: number): void {
    const value = this.#fields[name];
    if (!Number.isSafeInteger(value) || (value as number) < minimum)
      this.#fail(name, `an integer ≥ ${minimum}`);
  }

  optionalInteger(name: string, minimum: number): void {
    if (this.#fields[name] !== undefined) this.integer(name, minimum);
  }

  oneOf(name: string, allowed: readonly string[]): void {
    const value = this.#fields[name];
    if (typeof value !== "string" || !allowed.includes(value))
      this.#fail(name, `one of ${allowed.join(", ")}`);
  }

  /** A list of different node ids. */
  nodeIds(name: string): void {
    this.#nodeIdList(name, this.#fields[name]);
  }

  optionalNodeIds(name: string): void {
    if (this.#fields[name] !== undefined) this.nodeIds(name);
  }

  optionalNodeIdLists(name: string): void {
    const value = this.#fields[name];
    if (value === undefined) return;
    if (!Array.isArray(value)) this.#fail(name, "a list of lists of node ids");
    else for (const list of value) this.#nodeIdList(name, list);
  }

  termEntries(name: string): void {
    const value = this.#fields[name];
    const isEntry = (entry: unknown): boolean => {
      const { by, startRevision } = (entry ?? {}) as Fields;
      return typeof by === "string" && Number.isSafeInteger(startRevision);
    };
    if (!Array.isArray(value) || !value.every(isEntry)) this.#fail(name, "a list of terms");
  }

  #nodeIdList(name: string, value: unknown): void {
    if (!Array.isArray(value) || !value.every((id) => Number.isSafeInteger(id) && id >= 0)) {
      this.#fail(name, "a list of node ids");
      return;
    }
    for (let i = 1; i < value.length; i += 1) {
      if (value.indexOf(value[i]) < i) this.#fail(name, "a list without repeated node ids");
    }
  }

  texts(name: string): void {
    const value = this.#fields[name];
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
      this.#fail(name, "a list of strings");
    }
  }

  textMap(name: string): void {
    const value = this.#fields[name];
    const good =
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((item) => typeof item === "string");
    if (!good) this.#fail(name, "an object of strings");
  }

  #fail(name: string, expected: string): void {
    throw badValue(this.#kind, this.#key, `has a bad field "${name}": expected ${expected}`);
  }
}
