import { OttlaError } from "@ottla/errors";

/** What a data directory says about itself in `meta.properties`; written once and never changed. */
export interface MetaProperties {
  readonly clusterId: string;
  readonly nodeId: number;
  /** A UUID made with the directory: a node whose volume was lost comes back with another one (R9). */
  readonly directoryId: string;
}

const FORMAT_VERSION = "1";

export function encodeMetaProperties(meta: MetaProperties): string {
  return (
    `version=${FORMAT_VERSION}\ncluster.id=${meta.clusterId}\n` +
    `node.id=${meta.nodeId}\ndirectory.id=${meta.directoryId}\n`
  );
}

export function parseMetaProperties(text: string, path: string): MetaProperties {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0 && !line.startsWith("#"))
      values.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  const version = values.get("version");
  if (version !== FORMAT_VERSION) {
    throw invalidDirectory(
      `${path} says format version ${version ?? "(none)"}; this version of Ottla reads ${FORMAT_VERSION}`,
    );
  }
  const clusterId = values.get("cluster.id") ?? "";
  const directoryId = values.get("directory.id") ?? "";
  const nodeId = Number(values.get("node.id") ?? NaN);
  if (clusterId === "" || directoryId === "" || !Number.isSafeInteger(nodeId)) {
    throw invalidDirectory(`${path} lacks cluster.id, node.id or directory.id`);
  }
  return { clusterId, nodeId, directoryId };
}

export function invalidDirectory(message: string): OttlaError {
  return new OttlaError("INVALID_DATA_DIRECTORY", message);
}
