import { describe, expect, it } from "vitest";
import { parseEtcdEndpoints } from "./etcd-address.ts";
import { etcdCallError, failureOf, mayAnswerElsewhere } from "./etcd-errors.ts";
import { judgeEtcdVersion } from "./etcd-version.ts";

function answered(code: number, details: string) {
  const error = Object.assign(new Error(`${code} ${details}`), { code, details });
  return etcdCallError("KV.txn", error as unknown as Parameters<typeof etcdCallError>[1]);
}

describe("an error of etcd", () => {
  it("leaves the outcome open where etcd may have done what was asked", () => {
    for (const [code, details] of [
      [14, "etcdserver: request timed out"],
      [14, "etcdserver: leader changed"],
      [14, "Connection dropped"],
      [1, "Call cancelled"],
      [2, "something that nobody knows"],
      [4, "context deadline exceeded"],
      [10, "aborted"],
      [13, "Received RST_STREAM with code 2"],
    ] as const) {
      expect({ details, is: mayAnswerElsewhere(answered(code, details)) }).toEqual({ details, is: true });
      expect(answered(code, details).code).toBe("METADATA_UNAVAILABLE");
    }
  });

  it("is final where etcd refused, and says what to do", () => {
    const full = answered(8, "etcdserver: mvcc: database space exceeded");
    expect(mayAnswerElsewhere(full)).toBe(false);
    expect(full.message).toContain("alarm disarm");
    expect(failureOf(answered(7, "etcdserver: permission denied"))).toBe("refused");
    expect(failureOf(answered(3, "etcdserver: duplicate key given in txn request"))).toBe("refused");
  });

  it("tells a forgotten login, a lost lease and a compacted revision apart", () => {
    expect(failureOf(answered(16, "etcdserver: invalid auth token"))).toBe("token");
    expect(failureOf(answered(3, "etcdserver: revision of auth store is old"))).toBe("token");
    expect(failureOf(answered(5, "etcdserver: requested lease not found"))).toBe("lease");
    expect(failureOf(answered(11, "etcdserver: mvcc: required revision has been compacted"))).toBe(
      "compacted",
    );
    expect(failureOf(new Error("of another origin"))).toBeUndefined();
  });
});

describe("etcd's version", () => {
  it("is refused below 3.4, warned of below 3.5.13", () => {
    const judge = (versions: string): string[] => versions.split(" ").map(judgeEtcdVersion);
    expect(judge("3.3.27 2.3.8 0.0.0 unknown 3.4")).toEqual(Array(5).fill("refused"));
    expect(judge("3.4.0 3.4.23 3.4.99 3.5.0 3.5.12")).toEqual(Array(5).fill("old"));
    expect(judge("3.5.13 3.5.21 3.6.0-rc.1 v3.6.0 4.0.0")).toEqual(Array(5).fill("supported"));
  });
});

describe("etcd.endpoints", () => {
  it("are host:port, with or without a scheme", () => {
    expect(parseEtcdEndpoints(["a:2379", "http://b:80/", "[::1]:1"], false)).toEqual({
      addresses: ["a:2379", "b:80", "[::1]:1"],
      secure: false,
    });
    expect(parseEtcdEndpoints(["https://a:443"], false).secure).toBe(true);
    expect(parseEtcdEndpoints(["a:2379"], true).secure).toBe(true);
  });

  it("are refused by name when they cannot be meant", () => {
    for (const [endpoints, hasTls, reason] of [
      [[], false, "needs 1 to 32"],
      [["a"], false, "not host:port"],
      [["a:70000"], false, "not host:port"],
      [["http://u:p@a:1"], false, "not host:port"],
      [["https://a:1", "http://b:1"], false, "mixes http and https"],
      [["http://a:1"], true, "must say https"],
      [["a:1", "http://a:1"], false, "twice"],
    ] as const) {
      expect(() => parseEtcdEndpoints(endpoints, hasTls)).toThrow(reason);
      expect(() => parseEtcdEndpoints(endpoints, hasTls)).toThrow(
        expect.objectContaining({ code: "INVALID_CONFIG", metadata: { field: "etcd.endpoints" } }),
      );
    }
  });
});
