import { gzipSync, zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import { compressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { COMPRESSIONS, type Compression } from "../compression.ts";
import { plainView } from "../int.ts";
import { compress, decompress } from "./codec.ts";
import { pooledCodecs } from "./codecs.ts";

const LIMIT = 2 ** 20;
const TOO_LARGE = `more than the limit of ${LIMIT} bytes`;

function hex(text: string): Uint8Array {
  return plainView(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

/** Bytes that no codec can shrink, the same in each run. */
function noise(sizeBytes: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: sizeBytes }, () => {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    return state >>> 24;
  });
}

describe.each(COMPRESSIONS)("%s", (compression: Compression) => {
  test("gives back what it was given", () => {
    const repeated = fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 50 }), fc.integer({ min: 1, max: 5000 }))
      .map(([part, times]) => plainView(Buffer.concat(Array<Uint8Array>(times).fill(part))));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array().map(plainView), repeated), (bytes) => {
        expect(decompress(compression, compress(compression, bytes), LIMIT)).toEqual(bytes);
      }),
      { numRuns: 100 },
    );
  });

  test.each([0, 1, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 400_000])(
    "keeps %i bytes of noise",
    (size) => {
      const bytes = noise(size);
      const compressed = compress(compression, bytes);
      expect(compressed.length).toBeLessThanOrEqual(size + 100 + size / 1000);
      expect(decompress(compression, compressed, size)).toEqual(bytes);
    },
  );
});

describe("output beyond the limit is cut", () => {
  const zeros = new Uint8Array(64 * LIMIT);

  test.each(["gzip", "snappy", "lz4", "zstd"] as const)(
    "of %s, one byte over as well as a bomb",
    (compression) => {
      const bomb = compress(compression, zeros);
      expect(() => decompress(compression, bomb, LIMIT)).toThrow(TOO_LARGE);
      const exact = compress(compression, zeros.subarray(0, LIMIT));
      expect(decompress(compression, exact, LIMIT)).toHaveLength(LIMIT);
      expect(() => decompress(compression, exact, LIMIT - 1)).toThrow("more than the limit");
    },
  );

  test("of gzip members and zstd frames together", () => {
    const half = zeros.subarray(0, LIMIT / 2 + 1);
    expect(() => decompress("gzip", Buffer.concat([gzipSync(half), gzipSync(half)]), LIMIT)).toThrow(
      TOO_LARGE,
    );
    const frames = Buffer.concat([zstdCompressSync(half), zstdCompressSync(half)]);
    expect(() => decompress("zstd", frames, LIMIT)).toThrow(TOO_LARGE);
  });

  test("of raw snappy", () => {
    const raw = compressSync(Buffer.from(zeros.subarray(0, LIMIT + 1)), { copyOutputData: true });
    expect(() => decompress("snappy", raw, LIMIT)).toThrow(TOO_LARGE);
  });

  test("of LZ4 frames together", () => {
    const half = compress("lz4", zeros.subarray(0, LIMIT / 2 + 1));
    expect(() => decompress("lz4", Buffer.concat([half, half]), LIMIT)).toThrow(TOO_LARGE);
  });
});

describe("sizes that the input does not justify are refused", () => {
  test.each<[Compression, string, string]>([
    ["snappy", "raw, 4 GiB", "ff ff ff ff 0f 00 61"],
    ["snappy", "raw, a size without an end", "ff ff ff ff ff ff ff ff"],
    ["snappy", "a block of 2 GiB", "82534e4150505900 00000001 00000001 7fffffff 0000"],
    ["snappy", "a negative block", "82534e4150505900 00000001 00000001 ffffffff 0000"],
    ["snappy", "half a block's length", "82534e4150505900 00000001 00000001 0000"],
    ["snappy", "nothing at all", ""],
    ["lz4", "a block of 2 GiB", "04224d18 60 40 82 ffffff7f 00"],
    ["lz4", "a stored block larger than blocks are", "04224d18 60 40 82 01000180 00"],
    ["lz4", "an announced size of 2^40", "04224d18 68 40 0000000000010000 00 00000000"],
    ["lz4", "a dictionary", "04224d18 61 40 00000001 00 00000000"],
    ["lz4", "an unknown block size", "04224d18 60 30 82 00000000"],
    ["lz4", "no end mark", "04224d18 60 40 82"],
    ["lz4", "another magic", "03224d18 60 40 82 00000000"],
    ["lz4", "garbage after the frame", "04224d18 60 40 82 00000000 01020304050607"],
    ["lz4", "nothing at all", ""],
    ["zstd", "a window of 2 GiB", "28b52ffd 00 a8 010000"],
    ["zstd", "an announced size of 4 GiB", "28b52ffd e0 0000000001000000 010000"],
    ["zstd", "nothing at all", ""],
    ["gzip", "nothing at all", ""],
    ["gzip", "a member cut short", "1f8b0800000000000003"],
  ])("%s: %s", (compression, _name, payload) => {
    expect(() => decompress(compression, hex(payload), LIMIT)).toThrow(
      expect.objectContaining({ name: "OttlaError", code: "INVALID_RECORD" }),
    );
  });
});

describe("framings", () => {
  test("snappy is written as Java does: xerial's header and blocks of 32 KiB", () => {
    const compressed = compress("snappy", new Uint8Array(70_000));
    expect(compressed.subarray(0, 16)).toEqual(hex("82534e4150505900 00000001 00000001"));
    let blocks = 0;
    for (let position = 16; position < compressed.length; blocks++) {
      position += 4 + Buffer.from(compressed).readInt32BE(position);
    }
    expect(blocks).toBe(3);
  });

  test("snappy streams in a row are read as one", () => {
    const one = compress("snappy", Uint8Array.of(1, 2));
    const two = Buffer.concat([one, one]);
    expect(decompress("snappy", two, LIMIT)).toEqual(Uint8Array.of(1, 2, 1, 2));
  });

  test("lz4 is written as Java does: independent blocks of 64 KiB, stored where they do not shrink", () => {
    const compressed = compress("lz4", new Uint8Array([...noise(65_536), ...new Uint8Array(65_536)]));
    expect(compressed.subarray(0, 7)).toEqual(hex("04224d18 60 40 82"));
    expect(Buffer.from(compressed).readUInt32LE(7)).toBe(0x8000_0000 + 65_536);
  });

  test("a frame of very many tiny LZ4 blocks is read without a call for each", () => {
    const block = hex("02000000 10 61");
    const frame = Buffer.concat([
      hex("04224d18604082"),
      ...Array<Uint8Array>(5000).fill(block),
      hex("00000000"),
    ]);
    expect(decompress("lz4", frame, LIMIT)).toEqual(new Uint8Array(5000).fill(0x61));
  });
});

describe.each(["gzip", "zstd"] as const)("%s in the pool", (compression) => {
  test("gives what it gives at once, and refuses in the same words", async () => {
    const bytes = new Uint8Array(LIMIT).fill(7);
    const pooled = await pooledCodecs.compress(compression, bytes);
    expect(decompress(compression, pooled, LIMIT)).toEqual(bytes);
    expect(await pooledCodecs.decompress(compression, compress(compression, bytes), LIMIT)).toEqual(bytes);
    await expect(pooledCodecs.decompress(compression, pooled, LIMIT - 1)).rejects.toThrow(
      "more than the limit",
    );
    const broken = pooledCodecs.decompress(compression, noise(100), LIMIT);
    await expect(broken).rejects.toMatchObject({ code: "INVALID_RECORD" });
  });
});
