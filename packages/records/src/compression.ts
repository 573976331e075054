import { OttlaError } from "@ottla/errors";

/** The codecs of record batch v2, in the order of their ids (the lowest three bits of the attributes). */
export const COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"] as const;

export type Compression = (typeof COMPRESSIONS)[number];

export function compressionId(compression: Compression): number {
  return COMPRESSIONS.indexOf(compression);
}

/** Throws UNSUPPORTED_COMPRESSION_TYPE for an id that Kafka has not given to a codec. */
export function compressionFromId(id: number): Compression {
  const compression = COMPRESSIONS[id];
  if (compression === undefined) {
    throw new OttlaError(
      "UNSUPPORTED_COMPRESSION_TYPE",
      `compression id ${id} is unknown: ids 0 to ${COMPRESSIONS.length - 1} are ${COMPRESSIONS.join(", ")}`,
    );
  }
  return compression;
}
