/** The label value that stands for all that came after the limit. */
export const OTHER_LABEL = "_other";

/**
 * Bounds how many values of a label (topics, client ids: names that come from outside) reach the metrics. The
 * first `maxValues` keep their name, later ones are counted together as "_other".
 */
export class LabelLimiter {
  readonly #maxValues: number;
  readonly #values = new Set<string>();

  constructor(options: { readonly maxValues: number }) {
    this.#maxValues = options.maxValues;
  }

  limit(value: string): string {
    if (this.#values.has(value)) return value;
    if (this.#values.size >= this.#maxValues) return OTHER_LABEL;
    this.#values.add(value);
    return value;
  }

  /** Frees the place of a value that is gone, such as a deleted topic. */
  release(value: string): void {
    this.#values.delete(value);
  }
}
