import { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type { PartitionRouter } from "@ottla/routing";
import { type Clock, type GaugeSamples, labelText, type MetricsRegistry } from "@ottla/runtime";
import type { GroupTable } from "./group-table.ts";
import { HighWatermarks } from "./high-watermarks.ts";

export interface LagExporterOptions {
  readonly registry: MetricsRegistry;
  readonly clock: Clock;
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  /** Those of this node: together the nodes export every group once. */
  readonly tables: () => Iterable<GroupTable>;
  /** Offsets beyond this many have no series. */
  readonly maxOffsets: number;
}

interface Place {
  readonly labels: string;
  /** Of its partition. */
  readonly key: string;
  readonly topicId: string;
  readonly partition: number;
}

interface CommittedPlace extends Place {
  readonly offset: number;
}

interface Places {
  readonly committed: CommittedPlace[];
  /** A member has the partition, and the group has no offset of it. */
  readonly uncommitted: Place[];
}

const LAG = "kafka_consumergroup_lag";
const LAG_SECONDS = "kafka_consumergroup_lag_seconds";
const UNCOMMITTED = "ottla_consumergroup_uncommitted_records";
const CURRENT_OFFSET = "kafka_consumergroup_current_offset";
const MEMBERS = "kafka_consumergroup_members";

const FAMILIES = [
  { name: LAG, help: "Records of the partition that the group has not committed yet" },
  {
    name: LAG_SECONDS,
    help: "Since when there have been records that the group has not committed, as scrapes have seen it",
  },
  { name: UNCOMMITTED, help: "Records of a partition that a member has and the group has never committed" },
  { name: CURRENT_OFFSET, help: "The group's committed offset" },
  { name: MEMBERS, help: "Members of the group" },
];
/** So many partitions leaders are asked for at once: as many descriptions are made in one turn. */
const ASK_PARTITIONS = 500;
/** Leaders that have not answered by then keep the marks that they had. */
const ASK_MS = 5_000;

/**
 * Lag, offsets and members of groups under the names of kafka_exporter. Leaders are asked for their high
 * watermarks when somebody scrapes, and not before. A leader that does not answer keeps the mark that it had,
 * and offsets do not depend on members: series have no gaps while a group rebalances, and are never negative.
 */
export function addLagExporter(options: LagExporterOptions): void {
  const marks = new HighWatermarks(options.clock);
  options.registry.addSampledGauges({
    families: FAMILIES,
    collect: async (samples) => {
      const places = await placesOf(options, samples);
      const lengths = await look(options, marks, places, samples);
      for (const { labels, key } of places.uncommitted) {
        await samples.rest();
        const length = lengths.get(key);
        if (length !== undefined) samples.add(UNCOMMITTED, labels, length);
      }
      for (const { labels, key, offset } of places.committed) {
        await samples.rest();
        samples.add(CURRENT_OFFSET, labels, offset);
        const lag = marks.lag(key, offset);
        if (lag === undefined) continue;
        samples.add(LAG, labels, lag.records);
        samples.add(LAG_SECONDS, labels, lag.ms / 1000);
      }
      for (const table of options.tables()) {
        for (const { groupId, membership } of table.groups()) {
          await samples.rest();
          samples.add(MEMBERS, labelText({ consumergroup: groupId }), membership.memberCount);
        }
      }
    },
  });
}

/** Of topics that exist: an offset of a deleted one lags behind nothing. */
async function placesOf(
  { view, tables, maxOffsets }: LagExporterOptions,
  samples: GaugeSamples,
): Promise<Places> {
  const places: Places = { committed: [], uncommitted: [] };
  const placeOf = (consumergroup: string, topic: string, topicId: string, partition: number): Place => {
    const labels = labelText({ consumergroup, topic, partition: String(partition) });
    return { labels, key: `${topicId}-${partition}`, topicId, partition };
  };
  for (const table of tables()) {
    for (const { groupId, offsets, consumers } of table.groups()) {
      await samples.rest();
      const known = new Set<string>();
      for (const { topic, partition, committed } of offsets.committed()) {
        if (places.committed.length + places.uncommitted.length >= maxOffsets) return places;
        const live = view.topicByName(topic);
        if (live === undefined || partition >= live.partitionCount) continue;
        if (committed.topicId !== undefined && committed.topicId !== live.topicId) continue;
        const place = placeOf(groupId, topic, live.topicId, partition);
        known.add(place.key);
        places.committed.push({ ...place, offset: committed.offset });
      }
      for (const { topicId, partition } of consumers?.assigned() ?? []) {
        if (places.committed.length + places.uncommitted.length >= maxOffsets) return places;
        const live = view.topicById(topicId);
        if (live === undefined || known.has(`${topicId}-${partition}`)) continue;
        places.uncommitted.push(placeOf(groupId, live.name, topicId, partition));
      }
    }
  }
  return places;
}

/** Asks the leaders where their partitions are now. Returns how many records are in those that answered. */
async function look(
  { router, clock }: LagExporterOptions,
  marks: HighWatermarks,
  { committed, uncommitted }: Places,
  samples: GaugeSamples,
): Promise<ReadonlyMap<string, number>> {
  const partitions = new Map([...committed, ...uncommitted].map((place) => [place.key, place] as const));
  const lengths = new Map<string, number>();
  marks.keepOnly(partitions);
  const asked = [...partitions.values()];
  const ending = new AbortController();
  const timer = clock.setTimer(ASK_MS, () => ending.abort());
  try {
    for (let from = 0; from < asked.length; from += ASK_PARTITIONS) {
      const some = asked.slice(from, from + ASK_PARTITIONS);
      const described = await router.describePartitions(some, ending.signal);
      for (const [index, description] of described.entries()) {
        const key = some[index]?.key;
        if (key === undefined || description instanceof OttlaError) continue;
        if (description.offsets === undefined) continue;
        const { highWatermark, logStartOffset } = description.offsets;
        marks.saw(key, Number(highWatermark));
        lengths.set(key, Math.max(0, Number(highWatermark - logStartOffset)));
      }
      await samples.rest();
    }
  } catch {
    // The marks of before count on.
  } finally {
    timer.cancel();
  }
  return lengths;
}
