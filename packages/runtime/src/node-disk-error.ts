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

/** In words for whoever runs the node: why a directory cannot be used. */
export function directoryProblem(error: DiskError): string {
  switch (systemCodeOf(error.cause)) {
    case "EROFS":
      return "it is on a read-only file system";
    case "EACCES":
    case "EPERM":
      return "permission denied: this user may not write there";
    case "ENOENT":
      return "no directory can be made there";
    default:
      return error.code === "EACCES" ? "this user may not write there" : error.message;
  }
}

/** The operating system's name for the error, or an empty string. */
export function systemCodeOf(thrown: unknown): string {
  const code = thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
  return code ?? "";
}
