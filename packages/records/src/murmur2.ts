/** Murmur2 with the seed of Kafka's Java client, as a signed 32-bit integer. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  const wholeBytes = length & ~3;
  let hash = 0x9747b28c ^ length;
  for (let index = 0; index < wholeBytes; index += 4) {
    let word =
      (bytes[index] as number) |
      ((bytes[index + 1] as number) << 8) |
      ((bytes[index + 2] as number) << 16) |
      ((bytes[index + 3] as number) << 24);
    word = Math.imul(word, MULTIPLIER);
    word ^= word >>> 24;
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER);
  }
  const restBytes = length - wholeBytes;
  if (restBytes > 2) hash ^= (bytes[wholeBytes + 2] as number) << 16;
  if (restBytes > 1) hash ^= (bytes[wholeBytes + 1] as number) << 8;
  if (restBytes > 0) hash = Math.imul(hash ^ (bytes[wholeBytes] as number), MULTIPLIER);
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER);
  return hash ^ (hash >>> 15);
}

const MULTIPLIER = 0x5bd1e995;

/**
 * The partition that Kafka's Java client gives a record with this key: the same key
 * always goes to the same one.
 */
export function partitionForKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitionCount;
}
