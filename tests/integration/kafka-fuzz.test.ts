import { expect, test } from "vitest";
import { fuzzServer } from "../support/kafka-fuzz-run.ts";

test("20,000 mutated frames leave the server up, its memory flat and its log without a fault", async () => {
  expect(await fuzzServer(20_000, 1)).toEqual([]);
});
