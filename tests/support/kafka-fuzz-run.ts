import { expect } from "vitest";
import { fuzzKafka } from "./kafka-fuzz.ts";
import { OttlaServer } from "./ottla-server.ts";

const MIB = 1024 * 1024;
/** The first frames warm caches and compile code; from then on memory must stay where it is. */
const WARM_FRAMES = 5_000;
const GROWTH_BYTES_MAX = 96 * MIB;

/**
 * Fuzzes a server in a process of its own: it stays up, its memory stays flat, and the
 * faults of the gateway that its log shows are the result: there should be none.
 */
export async function fuzzServer(frames: number, seed: number): Promise<string[]> {
  const server = await OttlaServer.start();
  try {
    const sizes: number[] = [];
    await fuzzKafka({
      port: server.kafkaPort,
      frames,
      seed,
      onProgress: async (sent) => {
        if (sent >= WARM_FRAMES) sizes.push(await residentBytes(server));
      },
    });
    const [first = 0] = sizes;
    const largest = Math.max(...sizes);
    expect(largest - first, `seed ${seed}: memory grew from ${first} bytes`).toBeLessThan(GROWTH_BYTES_MAX);
    const faults = server.output
      .split("\n")
      .filter((line) => /"level":"(error|fatal)".*"service":"gateway"/.test(line));
    expect(await server.terminate()).toBe(0);
    return faults;
  } finally {
    await server.stop();
  }
}

async function residentBytes(server: OttlaServer): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
  const match = /^process_resident_memory_bytes (\S+)$/m.exec(metrics);
  if (match === null) throw new Error("the server does not tell its memory");
  return Number(match[1]);
}
