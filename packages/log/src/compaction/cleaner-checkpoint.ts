import { type Disk, readWholeFile, writeFileDurably } from "@ottla/runtime";
import { LOG_FORMATS } from "../format-versions.ts";

/** In Kafka's text form: a version, the number of rows, and `topic partition offset` in each. */
export const CLEANER_CHECKPOINT = "cleaner-offset-checkpoint";

const MAX_BYTES = 4096;
const VERSION = LOG_FORMATS["cleaner-offset-checkpoint"];
const PATTERN = new RegExp(`^${VERSION}\\n1\\n\\S+ \\d+ (\\d{1,16})\\n$`);

/** Up to where the log was compacted; 0 when it never was, or nobody can tell. */
export async function readCleanerCheckpoint(disk: Disk, directory: string): Promise<number> {
  const bytes = await readWholeFile(disk, `${directory}/${CLEANER_CHECKPOINT}`, MAX_BYTES);
  if (bytes === undefined) return 0;
  const match = PATTERN.exec(new TextDecoder().decode(bytes));
  return match === null ? 0 : Number(match[1]);
}

export async function writeCleanerCheckpoint(disk: Disk, directory: string, offset: number): Promise<void> {
  // The directory's name is topicId-partition.
  const name = directory.slice(directory.lastIndexOf("/") + 1);
  const dash = name.lastIndexOf("-");
  const row = dash > 0 ? `${name.slice(0, dash)} ${name.slice(dash + 1)}` : `${name} 0`;
  const text = `${VERSION}\n1\n${row.replaceAll(/[^\w. -]/g, "_")} ${offset}\n`;
  await writeFileDurably(disk, `${directory}/${CLEANER_CHECKPOINT}`, new TextEncoder().encode(text));
}
