import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareKeys } from "../key-order.ts";
import { prefixRange, revisionOf, transactionRequest } from "./etcd-messages.ts";

describe("revisions, which etcd3 hands over as text,", () => {
  it("are numbers up to 2^53 - 1 and refused beyond, where they would no longer be exact", () => {
    expect(revisionOf("0")).toBe(0);
    expect(revisionOf("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    for (const text of ["9007199254740992", "9223372036854775807", "-1", "1.5", "x"]) {
      expect(() => revisionOf(text)).toThrow(expect.objectContaining({ code: "METADATA_UNAVAILABLE" }));
    }
  });
});

describe("the range of a prefix", () => {
  const key = fc.string({ unit: "binary", maxLength: 4 }).map((text) => text.replaceAll("\0", "x"));

  /** Whether etcd would find the key in the range. */
  function holds(range: ReturnType<typeof prefixRange>, wanted: string): boolean {
    const bytes = Buffer.from(wanted);
    const isToTheEnd = range.range_end.equals(Buffer.from([0]));
    return (
      Buffer.compare(bytes, range.key) >= 0 && (isToTheEnd || Buffer.compare(bytes, range.range_end) < 0)
    );
  }

  it("holds the keys that begin with it and come after the given one, and no others", () => {
    fc.assert(
      fc.property(
        key,
        fc.option(key, { nil: undefined }),
        key,
        fc.boolean(),
        (prefix, after, rest, within) => {
          const wanted = within ? prefix + rest : rest;
          fc.pre(wanted !== "" && wanted.isWellFormed() && prefix.isWellFormed());
          const isWanted =
            wanted.startsWith(prefix) && (after === undefined || compareKeys(wanted, after) > 0);
          expect(holds(prefixRange(prefix, after), wanted)).toBe(isWanted);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("a transaction", () => {
  it("keeps lease ids as text, since they do not fit into a number, and refuses what is none", () => {
    const leaseId = "7587876432109876543";
    const put = { kind: "put" as const, key: "k", value: new Uint8Array(0) };
    const request = transactionRequest({ compare: [], success: [{ ...put, leaseId }] });
    expect(request.success?.[0]?.request_put?.lease).toBe(leaseId);
    const foreign = { compare: [], success: [{ ...put, leaseId: "lease-1" }] };
    expect(() => transactionRequest(foreign)).toThrow(expect.objectContaining({ code: "METADATA_CONFLICT" }));
  });
});
