import { OttlaError } from "@ottla/errors";

interface Range {
  readonly min: number;
  readonly max: number;
}

/** A whole number within bounds, or an `OttlaError` that names the option, the value and the limits. */
export function wholeNumber(name: string, value: number | undefined, fallback: number, range: Range): number {
  const chosen = value ?? fallback;
  if (!Number.isSafeInteger(chosen) || chosen < range.min || chosen > range.max) {
    throw new OttlaError(
      "INVALID_REQUEST",
      `${name} must be a whole number from ${range.min} to ${range.max}, not ${String(chosen)}`,
      { metadata: { field: name, value: String(chosen), limit: `${range.min}..${range.max}` } },
    );
  }
  return chosen;
}

/** One of a closed list of words, or an `OttlaError` that lists them. */
export function oneOf<T extends string>(
  name: string,
  value: T | undefined,
  fallback: T,
  all: readonly T[],
): T {
  const chosen = value ?? fallback;
  if (!all.includes(chosen)) {
    throw new OttlaError("INVALID_REQUEST", `${name} must be one of ${all.join(", ")}, not ${chosen}`, {
      metadata: { field: name, value: chosen, limit: all.join("|") },
    });
  }
  return chosen;
}
