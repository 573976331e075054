import { DiskError, type DiskErrorCode } from "./disk.ts";

const KNOWN_CODES: ReadonlySet<string> = new Set<DiskErrorCode>([
  "ENOENT",
  "EEXIST",
  "ENOSPC",
  "EIO",
  "ENOTEMPTY",
  "EACCES",
  "EMFILE",
]);

/** Codes that mean the same to a caller as one of the closed list. */
const SAME_AS: Readonly<Record<string, DiskErrorCode>> = {
  EDQUOT: "ENOSPC",
  EPERM: "EACCES",
  EROFS: "EACCES",
  ENFILE: "EMFILE",
};

export function toDiskError(path: string, what: string, thrown: unknown): DiskError {
  if (thrown instanceof DiskError) return thrown;
  const systemCode = systemCodeOf(thrown);
  const code = KNOWN_CODES.has(systemCode)
    ? (systemCode as DiskErrorCode)
    : (SAME_AS[systemCode] ?? "EOTHER");
  const detail = code === systemCode ? "" : `: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  return new DiskError(code, path, `cannot ${what}${detail}`, thrown);
}

/** The operating system's name for the error, or an empty string. */
export function systemCodeOf(thrown: unknown): string {
  const code = thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
  return code ?? "";
}
