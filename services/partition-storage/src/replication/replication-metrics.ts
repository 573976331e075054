import { Counter, Gauge, type MetricsRegistry } from "@ottla/runtime";

const PREFIX = "ottla_partition_storage_replication";

/** The metrics of the streams between leaders and followers, both sides of one node. */
export class ReplicationMetrics {
  readonly #sentBytes: Counter;
  readonly #receivedBytes: Counter;
  readonly #caughtUpBytes: Counter;
  readonly #refusals: Counter<"reason">;
  readonly #brokenStreams: Counter;
  readonly #followerStreams: Gauge;
  readonly #leaderStreams: Gauge;

  constructor(registry: MetricsRegistry) {
    const registers = [registry];
    const counter = (name: string, help: string): Counter =>
      new Counter({ name: `${PREFIX}_${name}`, help, registers });
    const gauge = (name: string, help: string): Gauge =>
      new Gauge({ name: `${PREFIX}_${name}`, help, registers });
    this.#sentBytes = counter("sent_bytes_total", "Bytes of record batches sent to followers");
    this.#receivedBytes = counter("received_bytes_total", "Bytes of record batches received from leaders");
    this.#caughtUpBytes = counter(
      "catch_up_received_bytes_total",
      "Bytes received for replicas outside the ISR, which are throttled",
    );
    this.#refusals = new Counter({
      name: `${PREFIX}_refusals_total`,
      help: "Streams and partitions that this node refused to its followers",
      labelNames: ["reason"],
      registers,
    });
    this.#brokenStreams = counter(
      "broken_streams_total",
      "Streams to nodes of leaders that ended or did not begin, while there was something to follow",
    );
    this.#followerStreams = gauge("follower_streams", "Nodes that follow partitions that this node leads");
    this.#leaderStreams = gauge("leader_streams", "Nodes of leaders that this node has a stream to");
  }

  countSent(sizeBytes: number): void {
    this.#sentBytes.inc(sizeBytes);
  }

  countReceived(sizeBytes: number, isCatchingUp: boolean): void {
    this.#receivedBytes.inc(sizeBytes);
    if (isCatchingUp) this.#caughtUpBytes.inc(sizeBytes);
  }

  countRefusal(reason: string): void {
    this.#refusals.inc({ reason });
  }

  countBrokenStream(): void {
    this.#brokenStreams.inc();
  }

  followerStreams(change: 1 | -1): void {
    this.#followerStreams.inc(change);
  }

  leaderStreams(change: 1 | -1): void {
    this.#leaderStreams.inc(change);
  }
}
