import { VirtualClock } from "@ottla/runtime";
import { beforeEach, expect, test } from "vitest";
import { MetadataKeys } from "./keys.ts";
import { ModelServer } from "./model-server.ts";
import { ModelStore } from "./model-store.ts";
import { ensureSecretProof } from "./secret-proof.ts";

const keys = new MetadataKeys("c");
let store: ModelStore;

beforeEach(() => {
  const clock = new VirtualClock();
  store = new ModelStore({ clock, server: new ModelServer({ clock }) });
});

function start(own: string, ...others: string[]): Promise<void> {
  return ensureSecretProof({ store, keys, own, others });
}

test("of many that start at once with two secrets, only those of one get in", async () => {
  const outcomes = await Promise.allSettled(["a", "b", "a", "b"].map((own) => start(own)));
  const [first, second, ...rest] = outcomes.map(({ status }) => status);
  expect(new Set([first, second])).toEqual(new Set(["fulfilled", "rejected"]));
  expect(rest).toEqual([first, second]);
});

test("one with another secret is refused, and learns what to do", async () => {
  await start("a");
  await start("a");
  await expect(start("b")).rejects.toMatchObject({
    code: "INVALID_CONFIG",
    message: expect.stringContaining("/ottla/c/secret-proof"),
  });
  // Nor does it help to know the secret that nodes will have next.
  await expect(start("b", "c")).rejects.toMatchObject({ code: "INVALID_CONFIG" });
  await start("a");
});

test("a secret is changed in three rounds of restarts, in any order within each", async () => {
  await start("old");
  await start("old", "new");
  await start("old");
  await start("old", "new");
  await start("new", "old");
  await start("old", "new");
  await start("new", "old");
  await start("new");
  await start("new", "old");
  await start("new");
  await expect(start("old")).rejects.toMatchObject({ code: "INVALID_CONFIG" });
});
