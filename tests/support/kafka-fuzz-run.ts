import { expect } from "vitest";
import { fuzzKafka } from "./kafka-fuzz.ts";
import { OttlaServer } from "./ottla-server.ts";

const MIB = 1024 * 1024;
/**
 * What is alive after a collection must not grow; between collections it goes up and down by more than that.
 */
const LIVE_GROWTH_BYTES_MAX = 48 * MIB;
const RESIDENT_BYTES_MAX = 400 * MIB;

interface Memory {
  readonly residentBytes: number;
  readonly heapBytes: number;
}

/**
 * Fuzzes a server in a process of its own: it stays up, its memory stays flat, and the
 * faults of the gateway that its log shows are the result: there should be none.
 */
export async function fuzzServer(frames: number, seed: number): Promise<string[]> {
  const server = await OttlaServer.start();
  try {
    const samples: Memory[] = [];
    const onProgress = async (): Promise<void> => void samples.push(await memoryOf(server));
    await fuzzKafka({ port: server.kafkaPort, frames, seed, onProgress });
    const heap = samples.map(({ heapBytes }) => heapBytes);
    const half = Math.ceil(heap.length / 2);
    const grown = Math.min(...heap.slice(half)) - Math.min(...heap.slice(0, half));
    expect(grown, `seed ${seed}: growth of the heap`).toBeLessThan(LIVE_GROWTH_BYTES_MAX);
    const resident = Math.max(...samples.map(({ residentBytes }) => residentBytes));
    expect(resident, `seed ${seed}: resident memory`).toBeLessThan(RESIDENT_BYTES_MAX);
    const faults = server.output
      .split("\n")
      .filter((line) => /"level":"(error|fatal)".*"service":"gateway"/.test(line));
    expect(await server.terminate()).toBe(0);
    return faults;
  } finally {
    await server.stop();
  }
}

async function memoryOf(server: OttlaServer): Promise<Memory> {
  const metrics = await (await fetch(`http://127.0.0.1:${server.httpPort}/metrics`)).text();
  const read = (name: string): number => {
    const value = new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1];
    if (value === undefined) throw new Error(`the server does not tell ${name}`);
    return Number(value);
  };
  return {
    residentBytes: read("process_resident_memory_bytes"),
    heapBytes: read("nodejs_heap_size_used_bytes") + read("nodejs_external_memory_bytes"),
  };
}
