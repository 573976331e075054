const MESSAGE_OVERHEAD_BYTES = 16;
const NUMBER_BYTES = 8;

/**
 * About how many bytes a message holds: exact for `bytes`, close for texts, a constant
 * for the rest. Bounds what the in-process transport queues without encoding it.
 */
export function estimateMessageBytes(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return NUMBER_BYTES;
  if (value instanceof Uint8Array) return value.byteLength;
  let sizeBytes = MESSAGE_OVERHEAD_BYTES;
  if (Array.isArray(value)) {
    for (const item of value) sizeBytes += estimateMessageBytes(item);
    return sizeBytes;
  }
  for (const key in value) {
    if (key !== "$typeName") sizeBytes += estimateMessageBytes(Reflect.get(value, key));
  }
  return sizeBytes;
}
