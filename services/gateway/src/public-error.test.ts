import { OttlaError } from "@ottla/errors";
import { expect, test } from "vitest";
import { errorFields, isForeignError, publicError } from "./public-error.ts";

test("clients learn the file's name, and not where the server keeps it", () => {
  const error = new OttlaError(
    "CORRUPT_MESSAGE",
    "damaged at 12 of /srv/ottla/topics/a-0/00000000000000000000.log",
  );
  expect(publicError(error).message).toBe("damaged at 12 of 00000000000000000000.log");
});

test("exceptions that are none of ours are told apart and hidden", () => {
  const foreign = new TypeError("cannot read properties of undefined (/srv/secret.ts)");
  expect(isForeignError(foreign)).toBe(true);
  expect(isForeignError(new OttlaError("INVALID_REQUEST", "x"))).toBe(false);
  expect(errorFields(foreign)).toMatchObject({
    reason: "UNKNOWN_SERVER_ERROR",
    message: "the server failed: see its log",
  });
});

test("the code, the metadata and whether to retry survive", () => {
  const error = new OttlaError("KAFKA_STORAGE_ERROR", "the disk is full", { metadata: { limit: "5" } });
  expect(errorFields(error)).toEqual({
    reason: "KAFKA_STORAGE_ERROR",
    message: "the disk is full",
    retriable: true,
    metadata: { limit: "5" },
  });
});
