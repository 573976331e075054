import { OttlaError, toOttlaError } from "@ottla/errors";
import { checkTopicConfig } from "@ottla/metadata";
import { describeSettings, type Settings } from "@ottla/runtime";

/**
 * Throws INVALID_CONFIG, naming the setting and where it comes from, when a default for
 * topics is not one that is served: found by the first topic it would be a riddle.
 */
export function checkTopicDefaults(settings: Settings): void {
  const source = describeSettings(settings).find(({ name }) => name === "topic-defaults")?.source;
  const problems: string[] = [];
  for (const [name, value] of Object.entries(settings.topicDefaults)) {
    try {
      checkTopicConfig({ [name]: value });
    } catch (thrown) {
      problems.push(toOttlaError(thrown).message);
    }
  }
  if (problems.length === 0) return;
  throw new OttlaError("INVALID_CONFIG", `${source ?? "topic-defaults"}: ${problems.join("; ")}`, {
    metadata: { field: "topicDefaults" },
  });
}
