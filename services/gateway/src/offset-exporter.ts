import { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type { PartitionRouter } from "@ottla/routing";
import { type Clock, type GaugeSamples, labelText, type MetricsRegistry } from "@ottla/runtime";

export interface OffsetExporterOptions {
  readonly registry: MetricsRegistry;
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly clock: Clock;
  /** Partitions beyond this many have no series. */
  readonly maxPartitions: number;
}

/** Leaders that do not answer in time have no series this time. */
const ASK_MS = 2_000;

/** So many partitions leaders are asked for at once: as many descriptions are made in one turn. */
const ASK_PARTITIONS = 500;

const OLDEST = "kafka_topic_partition_oldest_offset";
const CURRENT = "kafka_topic_partition_current_offset";
const PARTITIONS = "kafka_topic_partitions";
const FAMILIES = [
  { name: OLDEST, help: "Log start offset of the partition" },
  { name: CURRENT, help: "High watermark of the partition" },
  { name: PARTITIONS, help: "Number of partitions of the topic" },
];

/**
 * Offsets of partitions under the names of kafka_exporter, so that dashboards made for it
 * work. Leaders are asked when somebody scrapes, and not before.
 */
export function addOffsetExporter(options: OffsetExporterOptions): void {
  const { registry, view, maxPartitions } = options;
  registry.addSampledGauges({
    families: FAMILIES,
    collect: async (samples) => {
      for (const topic of view.topicNames().slice(0, maxPartitions)) {
        await samples.rest();
        samples.add(PARTITIONS, labelText({ topic }), view.topicByName(topic)?.partitionCount ?? 0);
      }
      await addOffsets(options, samples);
    },
  });
}

async function addOffsets(options: OffsetExporterOptions, samples: GaugeSamples): Promise<void> {
  const { view, router, clock, maxPartitions } = options;
  const partitions = exportedPartitions(view, maxPartitions);
  // A storage node that hangs must not take the page of metrics along.
  const ending = new AbortController();
  const timer = clock.setTimer(ASK_MS, () => ending.abort());
  try {
    for (let from = 0; from < partitions.length; from += ASK_PARTITIONS) {
      const some = partitions.slice(from, from + ASK_PARTITIONS);
      const described = await router.describePartitions(some, ending.signal).catch(() => []);
      for (const [index, description] of described.entries()) {
        const asked = some[index];
        if (description instanceof OttlaError || description.offsets === undefined || !asked) continue;
        const labels = labelText({ topic: asked.topic, partition: String(asked.partition) });
        samples.add(CURRENT, labels, Number(description.offsets.highWatermark));
        samples.add(OLDEST, labels, Number(description.offsets.logStartOffset));
      }
      await samples.rest();
    }
  } finally {
    timer.cancel();
  }
}

function exportedPartitions(
  view: ClusterView,
  limit: number,
): { topic: string; topicId: string; partition: number }[] {
  const partitions: { topic: string; topicId: string; partition: number }[] = [];
  for (const name of view.topicNames()) {
    const topic = view.topicByName(name);
    if (topic === undefined) continue;
    for (let partition = 0; partition < topic.partitionCount; partition += 1) {
      if (partitions.length >= limit) return partitions;
      partitions.push({ topic: name, topicId: topic.topicId, partition });
    }
  }
  return partitions;
}
