import { type Disk, DiskError } from "./disk.ts";

/**
 * Replaces the file's contents so that after a crash either the old or the new bytes are there, whole.
 * The bytes go to `<path>.tmp` first; one left over by a crash is overwritten by the next call.
 */
export async function writeFileDurably(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await disk.open(temporary, "write");
  try {
    await file.truncate(0);
    await file.write(0, [bytes]);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, path);
  await disk.syncDirectory(parentDirectory(path));
}

/** The whole file, or undefined when there is none; a file longer than `maxBytes` is refused. */
export async function readWholeFile(
  disk: Disk,
  path: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  let file;
  try {
    file = await disk.open(path, "read");
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const sizeBytes = await file.size();
    if (sizeBytes > maxBytes) {
      throw new DiskError(
        "EOTHER",
        path,
        `the file has ${sizeBytes} bytes, more than the ${maxBytes} allowed`,
      );
    }
    return await file.read(0, sizeBytes);
  } finally {
    await file.close();
  }
}

/**
 * Makes the directory and its missing parents, each of them durable in its own parent before anything is made
 * in it. One that is there already is made durable too: whoever made it may have died, or failed, before its
 * name was, and a power cut would take it away with all that was synced in it since (R4). `below`: a parent
 * that is not made when it is missing; throws `DiskError` ENOENT then.
 */
export async function makeDirectoryDurably(
  disk: Disk,
  path: string,
  { below }: { readonly below?: string } = {},
): Promise<void> {
  const missing: string[] = [];
  let found = path;
  while (found !== "/" && (await disk.stat(found)) === undefined) {
    if (found === below) throw new DiskError("ENOENT", found, "the directory is gone");
    missing.push(found);
    found = parentDirectory(found);
  }
  if (found !== "/") await syncNameOf(disk, found);
  if (missing.length === 0) await disk.makeDirectory(path);
  for (const directory of missing.reverse()) {
    await disk.makeDirectory(directory);
    await disk.syncDirectory(parentDirectory(directory));
  }
}

/** Where we may not look into the parent, we have not made what lies in it: others answer for its name. */
async function syncNameOf(disk: Disk, path: string): Promise<void> {
  try {
    await disk.syncDirectory(parentDirectory(path));
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== "EACCES") throw error;
  }
}

/** The directory a path lies in. */
export function parentDirectory(path: string): string {
  const end = path.lastIndexOf("/");
  return end <= 0 ? "/" : path.slice(0, end);
}
