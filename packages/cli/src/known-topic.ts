import { OttlaError } from "@ottla/errors";
import { CliError, ExitCode } from "./exit-codes.ts";

/** The work on a topic, with a plain word, and what to do, where the topic does not exist. */
export async function onKnownTopic<T>(topic: string, work: () => Promise<T>, advice = ""): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof OttlaError) || thrown.code !== "UNKNOWN_TOPIC_OR_PARTITION") throw thrown;
    // A partition that the topic does not have has the same code, and says which.
    if ("partition" in thrown.metadata) throw thrown;
    throw new CliError(ExitCode.failed, `topic "${topic}" does not exist${advice} (${thrown.code})`, thrown);
  }
}
