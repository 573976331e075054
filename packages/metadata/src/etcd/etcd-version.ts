/** What Ottla needs of etcd, and from where on it is at ease. */
export const ETCD_VERSION_REQUIRED = "3.4.0";

/** Older ones can lose or reorder watch events and have known data inconsistencies. */
export const ETCD_VERSION_RECOMMENDED = "3.5.13";

export type EtcdVersionVerdict = "supported" | "old" | "refused";

/** Judges what a member says about its version, such as "3.5.13" or "3.6.0-rc.1". */
export function judgeEtcdVersion(version: string): EtcdVersionVerdict {
  const found = parse(version);
  if (found === undefined || isBelow(found, ETCD_VERSION_REQUIRED)) return "refused";
  return isBelow(found, ETCD_VERSION_RECOMMENDED) ? "old" : "supported";
}

function parse(version: string): number[] | undefined {
  const match = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+].*)?$/.exec(version);
  return match?.slice(1).map(Number);
}

function isBelow(found: readonly number[], limit: string): boolean {
  for (const [i, part] of limit.split(".").map(Number).entries()) {
    const own = found[i] ?? 0;
    if (own !== part) return own < part;
  }
  return false;
}
