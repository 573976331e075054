import { describe, expect, it } from "vitest";
import type { Random } from "./random.ts";
import { SeededRandom } from "./seeded-random.ts";
import { systemRandom } from "./system-random.ts";

const UUID_4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const SOURCES: readonly [string, Random][] = [
  ["SeededRandom", new SeededRandom(42)],
  ["systemRandom", systemRandom],
];

describe.each(SOURCES)("%s", (_name, random) => {
  it("draws evenly and within bounds", () => {
    const counts = Array.from({ length: 10 }, () => 0);
    let sum = 0;
    for (let draw = 0; draw < 20_000; draw += 1) {
      const integer = random.integer(10);
      counts[integer] = (counts[integer] ?? 0) + 1;
      const float = random.float();
      expect(float >= 0 && float < 1).toBe(true);
      sum += float;
    }
    expect(counts).toHaveLength(10);
    // Six standard deviations: a fair source fails once in a hundred million runs.
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(260);
    expect(Math.abs(sum / 20_000 - 0.5)).toBeLessThan(0.013);
    expect(random.integer(1)).toBe(0);
    expect(random.integer(2 ** 53)).toBeLessThan(2 ** 53);
  });

  it("makes version 4 UUIDs and as many bytes as asked", () => {
    const uuids = Array.from({ length: 100 }, () => random.uuid());
    expect(new Set(uuids).size).toBe(100);
    for (const uuid of uuids) expect(uuid).toMatch(UUID_4);
    for (const length of [0, 1, 3, 4, 33]) expect(random.bytes(length)).toHaveLength(length);
    expect(new Set(random.bytes(4000)).size).toBe(256);
  });

  it("refuses to choose among nothing", () => {
    for (const limit of [0, -1, Number.NaN]) expect(() => random.integer(limit)).toThrow(RangeError);
  });
});

describe("SeededRandom", () => {
  it("means the same run by the same seed, today and in a year", () => {
    const random = new SeededRandom(7);
    expect([random.integer(1000), random.integer(1000), random.uuid()]).toEqual([
      512,
      681,
      "6c95eec8-4ec1-44bd-af38-d99db0158d12",
    ]);
  });

  it("gives another stream for another seed, however near or large", () => {
    const seeds = [0, 1, 2, -1, 2 ** 32, 2 ** 32 + 1, 2 ** 40, Number.MAX_SAFE_INTEGER];
    const firsts = seeds.map((seed) => new SeededRandom(seed).float());
    expect(new Set(firsts).size).toBe(seeds.length);
    expect(() => new SeededRandom(0.5)).toThrow(RangeError);
    // The very first draw must differ too, or seeds 1 to 1000 all begin alike.
    const sum = Array.from({ length: 1000 }, (_, seed) => new SeededRandom(seed).float()).reduce(
      (left, right) => left + right,
    );
    expect(Math.abs(sum / 1000 - 0.5)).toBeLessThan(0.06);
  });

  it("forks by name, whatever was drawn before", () => {
    const random = new SeededRandom(7);
    const before = random.fork("disk").float();
    random.float();
    expect(random.fork("disk").float()).toBe(before);
    expect(random.fork("network").float()).not.toBe(before);
    expect(new SeededRandom(8).fork("disk").float()).not.toBe(before);
    expect(random.fork("a").fork("b").float()).not.toBe(random.fork("b").fork("a").float());
  });
});
