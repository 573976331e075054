import { OttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import type { PartitionRouter } from "@ottla/routing";
import { type Clock, Gauge, type MetricsRegistry } from "@ottla/runtime";

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

/**
 * Offsets of partitions under the names of kafka_exporter, so that dashboards made for it
 * work. Leaders are asked when somebody scrapes, and not before.
 */
export function addOffsetExporter(options: OffsetExporterOptions): void {
  const { registry, view, router, clock, maxPartitions } = options;
  const labelNames = ["topic", "partition"] as const;
  const oldest = new Gauge({
    name: "kafka_topic_partition_oldest_offset",
    help: "Log start offset of the partition",
    labelNames,
    registers: [registry],
  });
  const current = new Gauge({
    name: "kafka_topic_partition_current_offset",
    help: "High watermark of the partition",
    labelNames,
    registers: [registry],
    async collect() {
      const partitions = exportedPartitions(view, maxPartitions);
      // A storage node that hangs must not take the page of metrics along.
      const ending = new AbortController();
      const timer = clock.setTimer(ASK_MS, () => ending.abort());
      const found = await router
        .describePartitions(partitions, ending.signal)
        .catch(() => [])
        .finally(() => timer.cancel());
      current.reset();
      oldest.reset();
      found.forEach((description, index) => {
        const ref = partitions[index];
        if (description instanceof OttlaError || description.offsets === undefined || ref === undefined)
          return;
        const labels = { topic: ref.topic, partition: String(ref.partition) };
        current.set(labels, Number(description.offsets.highWatermark));
        oldest.set(labels, Number(description.offsets.logStartOffset));
      });
    },
  });
  const counts: Gauge<"topic"> = new Gauge({
    name: "kafka_topic_partitions",
    help: "Number of partitions of the topic",
    labelNames: ["topic"],
    registers: [registry],
    collect() {
      counts.reset();
      for (const name of view.topicNames().slice(0, maxPartitions)) {
        counts.set({ topic: name }, view.topicByName(name)?.partitionCount ?? 0);
      }
    },
  });
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
