/** The use of a part of the machine outside packages/runtime that DESIGN section 8 allows, and why. */
export interface MachineException {
  /** A file, or a folder ending in "/". */
  readonly path: string;
  readonly uses: readonly string[];
  readonly why: string;
}

export const MACHINE_EXCEPTIONS: readonly MachineException[] = [
  {
    path: "packages/metadata/src/embedded-database.ts",
    uses: ["node:sqlite"],
    why: "SQLite brings its own files; the simulator uses the model of the store in its place",
  },
  {
    path: "packages/metadata/src/embedded-store.test.ts",
    uses: ["node:sqlite"],
    why: "looks into the database that the embedded store leaves behind",
  },
];

/** Files that may break a limit of size, and why. */
export interface SizeException {
  readonly path: string;
  readonly why: string;
}

export const SIZE_EXCEPTIONS: readonly SizeException[] = [];

/** What tests in packages and services may use beside: temporary directories, and processes to kill. */
export const ALLOWED_IN_TESTS: ReadonlySet<string> = new Set([
  "node:child_process",
  "node:fs",
  "node:fs/promises",
]);
