import { isForeignError, publicError } from "./public-error.ts";

/**
 * Runs a handler; a client sees what it throws without internals. Foreign errors go on as
 * they are: rpc logs and hides them.
 */
export async function guarded<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    if (isForeignError(thrown)) throw thrown;
    throw publicError(thrown);
  }
}
