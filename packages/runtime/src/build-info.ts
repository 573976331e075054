/**
 * The version of this tree. A test compares it with package.json, which a packed program no longer has beside
 * it.
 */
export const VERSION = "0.1.0";

/** The version of Node that runs us, without the "v". */
export function nodeVersion(): string {
  return process.versions.node;
}
