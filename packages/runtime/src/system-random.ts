import { randomBytes, randomUUID } from "node:crypto";
import type { Random } from "./random.ts";

/**
 * The machine's randomness. `bytes` and `uuid` are fit for identifiers nobody may guess;
 * `float` and `integer` are fast and meant for jitter and spreading, not for secrets.
 */
export const systemRandom: Random = {
  float: () => Math.random(),
  integer: (limit) => {
    if (!(limit >= 1)) throw new RangeError(`limit ${limit} is not at least 1`);
    return Math.floor(Math.random() * limit);
  },
  bytes: (length) => new Uint8Array(randomBytes(length)),
  uuid: () => randomUUID(),
};
