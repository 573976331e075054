import type { Ottla } from "@ottla/client";
import { OttlaError } from "@ottla/errors";

/** Makes sure that the topic of a benchmark exists. */
export async function ensureTopic(ottla: Ottla, name: string, partitions: number): Promise<void> {
  try {
    await ottla.admin().createTopic({ name, partitions });
  } catch (thrown) {
    if (!(thrown instanceof OttlaError) || thrown.code !== "TOPIC_ALREADY_EXISTS") throw thrown;
  }
}

/**
 * Values that a codec can neither squeeze to nothing nor not at all: words in a fixed pseudo-random order.
 */
export function makeValues(sizeBytes: number, count: number): Uint8Array[] {
  const words = [
    "topic",
    "partition",
    "record",
    "offset",
    "leader",
    "epoch",
    "replica",
    "segment",
    "batch",
    "log",
  ];
  let state = 42;
  return Array.from({ length: count }, () => {
    let text = "";
    while (text.length < sizeBytes) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      text += `${words[(state >> 8) % words.length] ?? ""}-${(state >> 12) % 1000} `;
    }
    return Buffer.from(text.slice(0, sizeBytes), "latin1");
  });
}
