import * as fc from "fast-check";
import { expect, test } from "vitest";
import { KEY_HASH_SECRET_BYTES, KeyHash } from "./key-hash.ts";
import { OFFSET_MAP_SLOT_BYTES, OffsetMap } from "./offset-map.ts";

const HASH = new KeyHash(new Uint8Array(KEY_HASH_SECRET_BYTES).fill(7));

test("the map says of each key the offset noted last, and takes no new keys when it is full", () => {
  const property = fc.property(
    fc.array(fc.tuple(fc.uint8Array({ maxLength: 3 }), fc.nat(2 ** 40)), { maxLength: 200 }),
    fc.integer({ min: 2, max: 60 }),
    (puts, slots) => {
      const map = new OffsetMap(slots * OFFSET_MAP_SLOT_BYTES, HASH);
      const model = new Map<string, number>();
      const capacity = Math.floor(slots * 0.75);
      for (const [key, offset] of puts) {
        const text = key.join();
        const fits = model.has(text) || model.size < capacity;
        expect(map.put(key, 0, key.length, offset)).toBe(fits);
        if (fits) model.set(text, offset);
      }
      expect(map.size).toBe(model.size);
      for (const [key] of puts) expect(map.get(key, 0, key.length)).toBe(model.get(key.join()) ?? -1);
    },
  );
  fc.assert(property);
});

test("a map of the size asked for holds that many keys", () => {
  const map = new OffsetMap(OffsetMap.bytesFor(1000), HASH);
  for (let key = 0; key < 1000; key += 1)
    expect(map.put(Buffer.from(`  ${key}`), 2, 2 + `${key}`.length, key)).toBe(true);
});
