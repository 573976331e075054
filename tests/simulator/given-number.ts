import { OttlaError } from "@ottla/errors";

/**
 * A whole number from the environment; undefined where none is given. Anything else is refused: a run that
 * took "1k" for nothing would look like one that found nothing.
 */
export function givenNumber(name: string, least: number): number | undefined {
  const text = process.env[name] ?? "";
  if (text === "") return undefined;
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new OttlaError("INVALID_REQUEST", `${name}=${text}: it has to be a whole number, ${least} at least`);
}

/** Ends the program with what is wrong with what it was given, in one sentence. */
export async function orRefused(work: () => Promise<boolean>): Promise<void> {
  try {
    process.exitCode = (await work()) ? 0 : 1;
  } catch (thrown) {
    if (!(thrown instanceof OttlaError)) throw thrown;
    process.stderr.write(`${thrown.message}\n`);
    process.exitCode = 2;
  }
}
