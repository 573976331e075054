import { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type { PartitionRouter } from "@ottla/routing";
import { type Clock, Gauge, type MetricsRegistry } from "@ottla/runtime";
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

interface CommittedPlace {
  readonly group: string;
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
}

/** Adds the gauges; once for each registry. */
export function addLagExporter(options: LagExporterOptions): LagExporter {
  return new LagExporter(options);
}

const LABELS = ["consumergroup", "topic", "partition"] as const;
/** So many series are set in one turn of the event loop. */
const SLICE_SERIES = 500;

/**
 * Lag, offsets and members of groups under the names of kafka_exporter. Leaders are asked for their high
 * watermarks when somebody scrapes, and not before. A leader that does not answer keeps the mark that it had,
 * and offsets do not depend on members: series have no gaps while a group rebalances, and are never negative.
 */
class LagExporter {
  readonly #options: LagExporterOptions;
  readonly #marks: HighWatermarks;
  readonly #lag: Gauge<(typeof LABELS)[number]>;
  readonly #lagSeconds: Gauge<(typeof LABELS)[number]>;
  readonly #offset: Gauge<(typeof LABELS)[number]>;
  readonly #members: Gauge<"consumergroup">;
  #collecting: Promise<void> | undefined;

  constructor(options: LagExporterOptions) {
    this.#options = options;
    this.#marks = new HighWatermarks(options.clock);
    this.#lag = this.#gauge("lag", "Records of the partition that the group has not committed yet");
    this.#lagSeconds = this.#gauge(
      "lag_seconds",
      "Since when there have been records that the group has not committed, as scrapes have seen it",
    );
    this.#offset = this.#gauge("current_offset", "The group's committed offset");
    this.#members = new Gauge({
      name: "kafka_consumergroup_members",
      help: "Members of the group",
      labelNames: ["consumergroup"],
      registers: [options.registry],
      collect: () => this.#collect(),
    });
  }

  #gauge(name: string, help: string): Gauge<(typeof LABELS)[number]> {
    return new Gauge({
      name: `kafka_consumergroup_${name}`,
      help,
      labelNames: LABELS,
      registers: [this.#options.registry],
      collect: () => this.#collect(),
    });
  }

  /** All gauges of one scrape share one round. */
  #collect(): Promise<void> {
    this.#collecting ??= this.#round().finally(() => {
      this.#collecting = undefined;
    });
    return this.#collecting;
  }

  async #round(): Promise<void> {
    const { router } = this.#options;
    const places = this.#committed();
    const partitions = new Map(
      places.map((place) => [`${place.topicId}-${place.partition}`, place] as const),
    );
    const asked = [...partitions.values()];
    const described = asked.length === 0 ? [] : await router.describePartitions(asked);
    this.#marks.keepOnly(partitions);
    for (const [index, key] of [...partitions.keys()].entries()) {
      const description = described[index];
      if (description === undefined || description instanceof OttlaError) continue;
      if (description.offsets !== undefined) this.#marks.saw(key, Number(description.offsets.highWatermark));
    }
    await this.#setSeries(places);
  }

  async #setSeries(places: readonly CommittedPlace[]): Promise<void> {
    const { clock, tables } = this.#options;
    for (const gauge of [this.#lag, this.#lagSeconds, this.#offset, this.#members]) gauge.reset();
    for (const [index, { group, topic, topicId, partition, offset }] of places.entries()) {
      if (index % SLICE_SERIES === SLICE_SERIES - 1) {
        await new Promise<void>((resolve) => clock.nextTurn(resolve));
      }
      const labels = { consumergroup: group, topic, partition: String(partition) };
      this.#offset.set(labels, offset);
      const lag = this.#marks.lag(`${topicId}-${partition}`, offset);
      if (lag === undefined) continue;
      this.#lag.set(labels, lag.records);
      this.#lagSeconds.set(labels, lag.ms / 1000);
    }
    for (const table of tables()) {
      for (const { groupId, membership } of table.groups()) {
        this.#members.set({ consumergroup: groupId }, membership.memberCount);
      }
    }
  }

  /** Of topics that exist: an offset of a deleted one lags behind nothing. */
  #committed(): CommittedPlace[] {
    const { view, tables, maxOffsets } = this.#options;
    const places: CommittedPlace[] = [];
    for (const table of tables()) {
      for (const { groupId, offsets } of table.groups()) {
        for (const { topic, partition, committed } of offsets.committed()) {
          if (places.length >= maxOffsets) return places;
          const live = view.topicByName(topic);
          if (live === undefined || partition >= live.partitionCount) continue;
          if (committed.topicId !== undefined && committed.topicId !== live.topicId) continue;
          const { topicId } = live;
          places.push({ group: groupId, topic, topicId, partition, offset: committed.offset });
        }
      }
    }
    return places;
  }
}
