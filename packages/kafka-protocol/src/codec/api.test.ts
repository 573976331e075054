import { isDeepStrictEqual } from "node:util";
import { OttlaError } from "@ottla/errors";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allApis } from "../apis/all.ts";
import type { Api } from "./api.ts";
import { messageArbitrary } from "./message-arbitrary.ts";
import { FrameReader } from "./reader.ts";
import { FrameWriter } from "./writer.ts";

const RUNS = 30;

function versionsOf(api: Api): number[] {
  return Array.from(
    { length: api.versions.to - api.versions.from + 1 },
    (_, index) => api.versions.from + index,
  );
}

function encode(write: (writer: FrameWriter) => void): Buffer {
  const writer = new FrameWriter();
  write(writer);
  const { sizeBytes } = writer;
  const frame = Buffer.concat(writer.finish());
  expect(frame.byteLength).toBe(sizeBytes);
  return frame;
}

function thrownBy(call: () => unknown): unknown {
  try {
    call();
    return undefined;
  } catch (error) {
    return error;
  }
}

function isNothingOrOttlaError(thrown: unknown): boolean {
  return thrown === undefined || thrown instanceof OttlaError;
}

/** -0 is written as 0: compare as numbers. */
function same(left: unknown, right: unknown): boolean {
  const plain = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value, (_, inner: unknown) => (Object.is(inner, -0) ? 0 : inner)));
  return isDeepStrictEqual(plain(left), plain(right));
}

describe.each(allApis.map((api) => [api.name, api as unknown as Api] as const))("%s", (_, api) => {
  test.each(versionsOf(api))(
    "version %i comes back from the wire as it was sent, in both directions",
    (version) => {
      fc.assert(
        fc.property(messageArbitrary(api.request, version), (message) => {
          const reader = new FrameReader(encode((writer) => api.encodeRequest(writer, version, message)));
          expect(same(api.decodeRequest(reader, version), message)).toBe(true);
          expect(reader.remaining).toBe(0);
        }),
        { numRuns: RUNS },
      );
      fc.assert(
        fc.property(messageArbitrary(api.response, version), (message) => {
          const reader = new FrameReader(encode((writer) => api.encodeResponse(writer, version, message)));
          expect(same(api.decodeResponse(reader, version), message)).toBe(true);
          expect(reader.remaining).toBe(0);
        }),
        { numRuns: RUNS },
      );
    },
  );

  test("a damaged or cut frame gives a typed error or another message, never a read past its end", () => {
    const version = api.versions.to;
    const damage = fc.record({
      message: messageArbitrary(api.request, version),
      at: fc.nat(),
      byte: fc.integer({ min: 0, max: 255 }),
      keep: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(damage, ({ message, at, byte, keep }) => {
        const frame = encode((writer) => api.encodeRequest(writer, version, message));
        if (frame.byteLength === 0) return;
        frame[at % frame.byteLength] = byte;
        const reader = new FrameReader(frame.subarray(0, Math.ceil(frame.byteLength * keep)));
        expect(thrownBy(() => api.decodeRequest(reader, version))).toSatisfy(isNothingOrOttlaError);
      }),
      { numRuns: RUNS * 4 },
    );
  });
});
