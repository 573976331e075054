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

/** Makes the directory and its missing parents, each of them durable in its own parent. */
export async function makeDirectoryDurably(disk: Disk, path: string): Promise<void> {
  const made: string[] = [];
  let missing = path;
  while (missing !== "/" && (await disk.stat(missing)) === undefined) {
    made.push(missing);
    missing = parentDirectory(missing);
  }
  await disk.makeDirectory(path);
  for (const directory of made.reverse()) await disk.syncDirectory(parentDirectory(directory));
}

/** The directory a path lies in. */
export function parentDirectory(path: string): string {
  const end = path.lastIndexOf("/");
  return end <= 0 ? "/" : path.slice(0, end);
}
