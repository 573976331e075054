import { OttlaError } from "@ottla/errors";
import { DiskError } from "@ottla/runtime";
import { expect, test } from "vitest";
import { toStorageError } from "./refusals.ts";

test("a disk that fails is an error that goes away, and never one of the server's own", () => {
  const failed = toStorageError(new DiskError("EIO", "/data/topics/t-0/0.log", "cannot read"));
  expect(failed).toMatchObject({ code: "KAFKA_STORAGE_ERROR", retriable: true });
  const known = new OttlaError("CORRUPT_MESSAGE", "a batch is damaged");
  expect(toStorageError(known)).toBe(known);
  expect(toStorageError(new TypeError("a bug")).code).toBe("UNKNOWN_SERVER_ERROR");
});
