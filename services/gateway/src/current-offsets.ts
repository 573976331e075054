import { OttlaError } from "@ottla/errors";
import type { CommittedOffset } from "@ottla/proto/ottla/internal/v1/groups";
import type { Topics } from "./topics.ts";

/**
 * Offsets as they count now: of a topic that was deleted, and has a successor under its name, a group has
 * none, or it would pass over what is in the new one. Its owner removes such offsets when it hears of the
 * deletion, which may be later than a client asks: it may have been away meanwhile. Throws
 * METADATA_UNAVAILABLE where only the store could tell which of two topics is the newer one.
 */
export async function currentOffsets(
  topics: Topics,
  offsets: readonly CommittedOffset[],
): Promise<readonly CommittedOffset[]> {
  const isOfOther = ({ topic, topicId }: CommittedOffset): boolean => {
    // An offset of before topics' ids were kept says nothing; nor does one of a topic that nobody can read.
    const now = topicId === "" ? undefined : topics.find(topic);
    return now !== undefined && now.topicId !== topicId;
  };
  if (!offsets.some(isOfOther)) return offsets;
  // The other one may be a topic that this gateway has yet to hear of.
  if (!(await topics.refresh()) && offsets.some(isOfOther)) {
    throw new OttlaError("METADATA_UNAVAILABLE", "whether offsets are of topics that are deleted by now");
  }
  return offsets.map((offset) => (isOfOther(offset) ? withoutOffset(offset) : offset));
}

/** As a partition without an offset is answered. */
function withoutOffset(offset: CommittedOffset): CommittedOffset {
  return { ...offset, offset: -1n, leaderEpoch: -1, metadata: "", topicId: "", committedAtMs: -1n };
}
