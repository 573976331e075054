import { expect, test } from "vitest";
import { fuzzServer } from "../support/kafka-fuzz-run.ts";

test("100,000 mutated frames leave the server up, its memory flat and its log without a fault", async () => {
  expect(await fuzzServer(100_000, 20_261_122)).toEqual([]);
}, 600_000);
