import { OttlaError } from "@ottla/errors";
import { LOG_FORMATS } from "./format-versions.ts";

/**
 * What a data directory says about itself in `meta.properties`; only its feature level ever changes, and only
 * upwards.
 */
export interface MetaProperties {
  readonly clusterId: string;
  readonly nodeId: number;
  /** A UUID made with the directory: a node whose volume was lost comes back with another one (R9). */
  readonly directoryId: string;
  /** What is in the directory may be in forms of this level, and of none above it. */
  readonly featureLevel: number;
}

/** Says nothing of levels: all in the directory is of the first one. */
const FIRST_VERSION = "1";
/** Says the feature level, so that a program that cannot read its forms refuses the directory. */
const LEVEL_VERSION = String(LOG_FORMATS["meta.properties"]);
const META_PROPERTIES_VERSIONS: readonly string[] = [FIRST_VERSION, LEVEL_VERSION];

export function encodeMetaProperties(meta: MetaProperties): string {
  const { clusterId, nodeId, directoryId, featureLevel } = meta;
  const isFirst = featureLevel <= 1;
  return (
    `version=${isFirst ? FIRST_VERSION : LEVEL_VERSION}\ncluster.id=${clusterId}\n` +
    `node.id=${nodeId}\ndirectory.id=${directoryId}\n` +
    (isFirst ? "" : `feature.level=${featureLevel}\n`)
  );
}

export function parseMetaProperties(text: string, path: string): MetaProperties {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0 && !line.startsWith("#"))
      values.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  const version = values.get("version") ?? "(none)";
  if (!META_PROPERTIES_VERSIONS.includes(version)) {
    const known = META_PROPERTIES_VERSIONS.join(" and ");
    throw invalidDirectory(`${path} says format version ${version}; this version of Ottla reads ${known}`);
  }
  const clusterId = values.get("cluster.id") ?? "";
  const directoryId = values.get("directory.id") ?? "";
  const nodeId = Number(values.get("node.id") ?? NaN);
  if (clusterId === "" || directoryId === "" || !Number.isSafeInteger(nodeId)) {
    throw invalidDirectory(`${path} lacks cluster.id, node.id or directory.id`);
  }
  const featureLevel = version === FIRST_VERSION ? 1 : Number(values.get("feature.level") ?? NaN);
  if (!Number.isSafeInteger(featureLevel) || featureLevel < 1) {
    throw invalidDirectory(`${path} lacks feature.level, which format version ${version} has`);
  }
  return { clusterId, nodeId, directoryId, featureLevel };
}

export function invalidDirectory(message: string): OttlaError {
  return new OttlaError("INVALID_DATA_DIRECTORY", message);
}
