import { createRequire } from "node:module";
import type * as Lz4 from "lz4-napi";
import type * as Snappy from "snappy";

/**
 * The native libraries, loaded when a batch first needs them: each takes 3 MB of memory, and most processes
 * never see its codec.
 */
const load = createRequire(import.meta.url);

export const snappyLibrary = once(() => load("snappy") as typeof Snappy);
export const lz4Library = once(() => load("lz4-napi") as typeof Lz4);

function once<Library>(loadLibrary: () => Library): () => Library {
  let library: Library | undefined;
  return () => {
    library ??= loadLibrary();
    return library;
  };
}
