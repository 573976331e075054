import { create } from "@bufbuild/protobuf";
import { ERRORS, type ErrorCode, GrpcStatus, OttlaError } from "@ottla/errors";
import { ErrorSchema } from "@ottla/proto/ottla/v1/record";
import { describe, expect, test } from "vitest";
import {
  BareStatus,
  errorFromMessage,
  errorFromStatus,
  errorToMessage,
  isForeign,
  resultCode,
  statusFromError,
} from "./status.ts";

const codes = Object.keys(ERRORS) as ErrorCode[];

describe("a status", () => {
  test("brings every error of the list back as it was", () => {
    for (const code of codes) {
      const error = new OttlaError(code, `about ${code}`, { metadata: { field: "topic" } });
      const status = statusFromError(error);
      expect(status.code).toBe(GrpcStatus[ERRORS[code].grpc]);
      expect(errorFromStatus(status)).toMatchObject({
        code,
        message: `about ${code}`,
        metadata: { field: "topic" },
      });
    }
  });

  test("without details maps to the closest error", () => {
    const closest = (code: number) => errorFromStatus({ code, message: "" }).code;
    expect(closest(GrpcStatus.CANCELLED)).toBe("CANCELLED");
    expect(closest(GrpcStatus.DEADLINE_EXCEEDED)).toBe("REQUEST_TIMED_OUT");
    expect(closest(GrpcStatus.UNAVAILABLE)).toBe("UNAVAILABLE");
    expect(closest(GrpcStatus.UNIMPLEMENTED)).toBe("UNIMPLEMENTED");
    expect(closest(GrpcStatus.RESOURCE_EXHAUSTED)).toBe("THROTTLING_QUOTA_EXCEEDED");
    expect(closest(GrpcStatus.INTERNAL)).toBe("UNKNOWN_SERVER_ERROR");
    expect(closest(GrpcStatus.UNKNOWN)).toBe("UNKNOWN_SERVER_ERROR");
    expect(closest(99)).toBe("UNKNOWN_SERVER_ERROR");
    // What the closest error says of a retry agrees with gRPC's own status.
    for (const code of Object.values(GrpcStatus)) {
      if (code === GrpcStatus.OK || code === GrpcStatus.UNKNOWN) continue;
      expect(errorFromStatus({ code, message: "" }).grpcStatus).toBe(code);
    }
  });

  test("with details that cannot be read, or of another domain, maps by its code", () => {
    const garbage = { code: 14, message: "down", details: Uint8Array.of(255, 255, 255) };
    expect(errorFromStatus(garbage)).toMatchObject({ code: "UNAVAILABLE", message: "down" });
    expect(errorFromStatus({ code: 14, message: "down", details: new Uint8Array() })).toMatchObject({
      code: "UNAVAILABLE",
    });
  });

  test("stays small enough for HTTP/2 headers, whatever its error says", () => {
    const error = new OttlaError("INVALID_REQUEST", `${"🐟".repeat(100_000)}\ud800`, {
      metadata: { field: "topic", value: "x".repeat(1_000_000) },
    });
    const status = statusFromError(error);
    expect(encodeURI(status.message).length + (status.details?.length ?? 0)).toBeLessThan(14_000);
    expect(errorFromStatus(status).metadata).toEqual({ field: "topic" });
  });

  test("of another protocol is passed on as it is", () => {
    const bare = new BareStatus(5, "no such service");
    expect(statusFromError(bare)).toEqual({ code: 5, message: "no such service" });
    expect(isForeign(bare)).toBe(false);
    expect(resultCode(undefined)).toBe("OK");
    expect(resultCode(bare)).toBe("UNKNOWN_TOPIC_OR_PARTITION");
  });
});

describe("the error of one item", () => {
  test("comes back as it was", () => {
    const error = new OttlaError("NOT_LEADER_OR_FOLLOWER", "node 2 leads", { metadata: { leader: "2" } });
    const message = create(ErrorSchema, errorToMessage(error));
    expect(message).toMatchObject({ reason: "NOT_LEADER_OR_FOLLOWER", retriable: true });
    expect(errorFromMessage(message)).toMatchObject({
      code: "NOT_LEADER_OR_FOLLOWER",
      message: "node 2 leads",
      metadata: { leader: "2" },
    });
  });

  test("hides foreign errors, wrapped or not", () => {
    const foreign = new RangeError("at /home/someone/secret.ts");
    const wrapped = new OttlaError("UNKNOWN_SERVER_ERROR", foreign.message, { cause: foreign });
    for (const thrown of [foreign, wrapped, "a text", undefined]) {
      expect(isForeign(thrown)).toBe(true);
      expect(errorToMessage(thrown)).toMatchObject({
        reason: "UNKNOWN_SERVER_ERROR",
        message: expect.not.stringContaining("secret"),
      });
    }
    const meant = new OttlaError("UNKNOWN_SERVER_ERROR", "the index is broken: restart the node");
    expect(errorToMessage(meant).message).toBe("the index is broken: restart the node");
  });

  test("of a newer server keeps its name in the text", () => {
    const message = create(ErrorSchema, { reason: "SHINY_NEW_ERROR", message: "who knows" });
    expect(errorFromMessage(message)).toMatchObject({
      code: "UNKNOWN_SERVER_ERROR",
      message: "SHINY_NEW_ERROR: who knows",
    });
  });
});
