import type { TopicCatalog } from "../topic-catalog.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerChanges } from "./consumer-records.ts";
import { compileRegex } from "./linear-regex.ts";

/** Throws INVALID_REGULAR_EXPRESSION. */
export function checkRegex(regularExpression: string): void {
  compileRegex(regularExpression);
}

/**
 * Finds the topics of regular expressions that have not been looked for among the topics of now, and forgets
 * those that no member has any more. Says whether anything changed.
 */
export function resolveRegexes(
  group: ConsumerGroup,
  catalog: TopicCatalog,
  changes: ConsumerChanges,
  nowMs: number,
): boolean {
  const wanted = new Set<string>();
  for (const { subscribedTopicRegex } of group.members()) {
    if (subscribedTopicRegex !== null) wanted.add(subscribedTopicRegex);
  }
  const known = group.regexes();
  let changed = false;
  for (const regularExpression of known.keys()) {
    if (wanted.has(regularExpression)) continue;
    changes.forgetRegex(regularExpression);
    changed = true;
  }
  for (const regularExpression of wanted) {
    if (group.regexVersions.get(regularExpression) === catalog.version) continue;
    group.regexVersions.set(regularExpression, catalog.version);
    const topics = matching(regularExpression, catalog);
    const before = known.get(regularExpression)?.topics;
    if (before?.size === topics.length && topics.every((topic) => before.has(topic))) continue;
    changes.regex(regularExpression, topics, catalog.version, nowMs);
    changed = true;
  }
  return changed;
}

function matching(regularExpression: string, catalog: TopicCatalog): string[] {
  const regex = compileRegex(regularExpression);
  return catalog.names().filter((name) => regex.matches(name));
}
