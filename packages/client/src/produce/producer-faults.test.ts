import { OttlaError } from "@ottla/errors";
import { decodeRecords } from "@ottla/records";
import { InProcessTransport } from "@ottla/rpc";
import { SeededRandom, systemClock, VirtualClock } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { Ottla } from "../ottla.ts";
import { type Interference, MemoryServer } from "../test-support/memory-server.ts";

const RETRIABLE = ["NOT_LEADER_OR_FOLLOWER", "REQUEST_TIMED_OUT", "KAFKA_STORAGE_ERROR"] as const;
const SEEDS = 40;
const RECORDS = 60;

/** What may go wrong with a batch when nothing is lost for good. */
function misfortune(random: SeededRandom): Interference {
  const dice = random.float();
  if (dice < 0.15)
    return new OttlaError(RETRIABLE[random.integer(RETRIABLE.length)] ?? "UNAVAILABLE", "not now");
  if (dice < 0.25) return "store and stay silent";
  return dice < 0.3 ? "stay silent" : undefined;
}

interface Outcome {
  readonly stored: readonly number[];
  readonly failed: readonly number[];
}

/** Sends numbered records to one partition while misfortunes happen, until all are settled. */
async function produce(seed: number, refused: ReadonlySet<number>): Promise<Outcome> {
  const random = new SeededRandom(seed);
  const clock = new VirtualClock();
  const server = new MemoryServer();
  const [log] = server.createTopic("t", 1);
  if (log !== undefined) log.unknownBeginAnywhere = true;
  const registry = server.registry();
  server.interfere = ({ payload }) => {
    const numbers = payload.case === "batch" ? [...decodeRecords(payload.value)].map(numberOf) : [];
    if (numbers.some((number) => refused.has(number))) return new OttlaError("INVALID_RECORD", "never");
    return misfortune(random);
  };
  const ottla = new Ottla({
    clock,
    random,
    openTransport: () => new InProcessTransport({ registry, clock: systemClock, copy: true }),
  });
  const producer = ottla.producer({ lingerMs: 1, requestTimeoutMs: 2000 });
  const failed: number[] = [];
  const sent: Promise<void>[] = [];
  const state = { settled: false };
  for (let number = 0; number < RECORDS; number++) {
    const record = { topic: "t", partition: 0, value: String(number) };
    const outcome = producer.send(record).then(
      () => undefined,
      () => void failed.push(number),
    );
    sent.push(outcome);
    await clock.advance(random.integer(5));
  }
  void Promise.all(sent).then(() => {
    state.settled = true;
  });
  while (!state.settled) {
    await clock.advance(5);
    await new Promise<void>((resolve) => systemClock.nextTurn(resolve));
  }
  return {
    stored: (log?.batches ?? []).flatMap(({ bytes }) => [...decodeRecords(bytes)].map(numberOf)),
    failed,
  };
}

function numberOf({ value }: { value: Uint8Array | null }): number {
  return Number(Buffer.from(value ?? []).toString());
}

const ALL = Array.from({ length: RECORDS }, (_, number) => number);

describe("Producer among misfortunes", () => {
  test("refusals, lost answers and lost requests: everything stored once, in order", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { stored, failed } = await produce(seed, new Set());
      expect({ seed, stored, failed }).toEqual({ seed, stored: ALL, failed: [] });
    }
  });

  test("and records that are refused for good: all others stored once, in order", async () => {
    const refused = new Set([5, 6, 30]);
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { stored, failed } = await produce(seed, refused);
      expect({ seed, stored }).toEqual({ seed, stored: ALL.filter((number) => !failed.includes(number)) });
      expect(failed).toEqual(expect.arrayContaining([...refused]));
    }
  });
});
