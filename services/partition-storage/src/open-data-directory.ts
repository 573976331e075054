import { DataDirectory, type DataDirectoryOptions } from "@ottla/log";

/**
 * Locks and opens a node's data directory, making it when it is new. Throws
 * DATA_DIRECTORY_LOCKED, which says who holds it, or INVALID_DATA_DIRECTORY. Whoever
 * opens it closes it, after all that is kept in it is closed.
 */
export function openDataDirectory(options: DataDirectoryOptions): Promise<DataDirectory> {
  return DataDirectory.open(options);
}
