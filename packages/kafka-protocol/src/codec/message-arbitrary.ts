import * as fc from "fast-check";
import { defaultOf, type Field, type Fields, type FieldType } from "./field.ts";
import { includesVersion } from "./versions.ts";

/** Random messages of one version of a schema: fields that the version does not have keep their default. */
export function messageArbitrary(fields: Fields, version: number): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(fields).map(
    ([name, field]) => [name, fieldArbitrary(field, version)] as const,
  );
  return fc.record(Object.fromEntries(entries));
}

function fieldArbitrary(field: Field<unknown, unknown>, version: number): fc.Arbitrary<unknown> {
  if (!includesVersion(field.options.versions, version)) return fc.constant(defaultOf(field));
  const present = typeArbitrary(field.type, version);
  return includesVersion(field.options.nullable, version) ? fc.option(present, { nil: null }) : present;
}

function typeArbitrary(type: FieldType, version: number): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case "bool":
      return fc.boolean();
    case "int8":
      return fc.integer({ min: -128, max: 127 });
    case "int16":
      return fc.integer({ min: -32_768, max: 32_767 });
    case "int32":
      return fc.integer();
    case "int64":
      return fc.maxSafeInteger();
    case "uuid":
      return fc.uuid();
    case "string":
      return fc.string({ unit: "grapheme", maxLength: 40 });
    case "bytes":
    case "records":
      return fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
    case "array":
      return fc.array(typeArbitrary(type.element, version), { maxLength: 5 });
    case "struct":
      return messageArbitrary(type.fields, version);
    default: {
      const unknownKind: never = type;
      throw new TypeError(`unknown kind ${JSON.stringify(unknownKind)}`);
    }
  }
}
