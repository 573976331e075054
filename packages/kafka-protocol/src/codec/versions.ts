/** A range of versions, both ends included; `to` is infinite for "3+". */
export interface VersionRange {
  readonly from: number;
  readonly to: number;
}

export const ALL_VERSIONS: VersionRange = { from: 0, to: Number.POSITIVE_INFINITY };
export const NO_VERSIONS: VersionRange = { from: 0, to: -1 };

/** "3+", "0-12" or "7": the notation of Kafka's own message definitions. */
export type VersionText = `${number}+` | `${number}-${number}` | `${number}`;

export function parseVersions(text: VersionText): VersionRange {
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(text);
  if (match === null) throw new TypeError(`not a version range: ${text}`);
  const from = Number(match[1]);
  if (match[2] !== undefined) return { from, to: Number.POSITIVE_INFINITY };
  return { from, to: match[3] === undefined ? from : Number(match[3]) };
}

export function includesVersion(range: VersionRange, version: number): boolean {
  return version >= range.from && version <= range.to;
}
