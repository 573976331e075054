import { OttlaError, toOttlaError } from "@ottla/errors";
import { ReadFormat } from "@ottla/proto/ottla/v1/log";
import { type ClientStream, errorFromMessage } from "@ottla/rpc";
import type { Clock, Random } from "@ottla/runtime";
import { Backoff } from "../backoff.ts";
import type { AssignedPartition } from "./assigned-partition.ts";
import { ConsumedBatch } from "./consumed-batch.ts";
import type { ConsumerSettings, ReadInit, ReadResponse } from "./consumer-options.ts";
import type { PrefetchQueue } from "./prefetch-queue.ts";

export interface ReadLoopOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: ConsumerSettings;
  readonly queue: PrefetchQueue;
  readonly openRead: (request: ReadInit) => ClientStream<never, ReadResponse>;
  /** The offset of the first record at or after the time; -1n when there is none. */
  readonly offsetForTimestamp: (topic: string, partition: number, timestampMs: number) => Promise<bigint>;
  readonly find: (topic: string, partition: number) => AssignedPartition | undefined;
  readonly active: () => AssignedPartition[];
  /** Reading cannot go on at all. */
  readonly onFailed: (error: OttlaError) => void;
  readonly onConnectionLost: (error: OttlaError) => void;
}

/** Errors of the stream that trying again does not cure. */
const HOPELESS: ReadonlySet<string> = new Set([
  "UNIMPLEMENTED",
  "UNSUPPORTED_VERSION",
  "UNAUTHENTICATED",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "INVALID_REQUEST",
]);

/** Errors of a partition that count as final although another call might see them gone. */
const FINAL_FOR_PARTITION: ReadonlySet<string> = new Set(["UNKNOWN_TOPIC_OR_PARTITION", "CORRUPT_MESSAGE"]);

/** A topic may have been created a moment ago, at another gateway. */
const UNKNOWN_TOPIC_GRACE_MS = 1000;

/** The server takes at most so many positions in one `Read`. */
const POSITIONS_OF_A_STREAM = 1000;

/**
 * Keeps `Read` streams open over the active partitions and fills the queue from them: one, or several where
 * the partitions are more than one may have. A stream's positions are fixed when it opens, so a seek, a pause
 * or another assignment opens new ones; a broken connection opens each anew.
 */
export class ReadLoop {
  readonly #options: ReadLoopOptions;
  readonly #streams = new Set<ClientStream<never, ReadResponse>>();
  #generation = 0;
  #restartScheduled = false;
  #closed = false;

  constructor(options: ReadLoopOptions) {
    this.#options = options;
  }

  /** Opens streams with the positions of now. Several calls in one turn count as one. */
  restart(): void {
    if (this.#restartScheduled || this.#closed) return;
    this.#restartScheduled = true;
    // From here on nothing of the streams before is pushed any more, also while it waits for room.
    const generation = ++this.#generation;
    this.#cancelStreams();
    queueMicrotask(() => {
      this.#restartScheduled = false;
      const active = this.#options.active();
      for (let from = 0; from < active.length; from += POSITIONS_OF_A_STREAM) {
        void this.#run(generation, active.slice(from, from + POSITIONS_OF_A_STREAM));
      }
    });
  }

  close(): void {
    this.#closed = true;
    this.#generation++;
    this.#cancelStreams();
  }

  #cancelStreams(): void {
    for (const stream of this.#streams) stream.cancel();
  }

  async #run(generation: number, group: readonly AssignedPartition[]): Promise<void> {
    const { clock, random, onFailed, onConnectionLost } = this.#options;
    const backoff = new Backoff({ firstDelayMs: 50, maxDelayMs: 1000, random });
    let unknownSinceMs: number | undefined;
    while (this.#current(generation)) {
      const active = group.filter((assigned) => assigned.active);
      if (active.length === 0) return;
      try {
        await this.#readOnce(generation, active, backoff);
      } catch (thrown) {
        if (!this.#current(generation)) return;
        const error = toOttlaError(thrown);
        const isUnknown = error.code === "UNKNOWN_TOPIC_OR_PARTITION";
        unknownSinceMs = isUnknown ? (unknownSinceMs ?? clock.monotonic()) : undefined;
        const wasLong = isUnknown && clock.monotonic() - (unknownSinceMs ?? 0) >= UNKNOWN_TOPIC_GRACE_MS;
        if (HOPELESS.has(error.code) || wasLong) {
          onFailed(error);
          return;
        }
        // Nothing is lost while a server may not know the topic yet.
        if (!isUnknown) onConnectionLost(error);
      }
      if (this.#current(generation)) await clock.sleep(backoff.nextDelayMs());
    }
  }

  async #readOnce(generation: number, active: readonly AssignedPartition[], backoff: Backoff): Promise<void> {
    const { openRead, queue, settings } = this.#options;
    await this.#resolveTimestamps(generation, active);
    if (!this.#current(generation)) return;
    const stream = openRead({
      positions: active.map((assigned) => assigned.readPosition()),
      format: ReadFormat.BATCHES,
      maxBytes: settings.maxFetchBytes,
    });
    this.#streams.add(stream);
    try {
      for await (const response of stream.received) {
        if (!this.#current(generation)) return;
        if (!this.#received(response, backoff)) return;
        // Several streams wait for the same room: another may have filled it again.
        for (let room = queue.room(); room !== undefined; room = queue.room()) {
          await room;
          if (!this.#current(generation)) return;
        }
      }
    } finally {
      this.#streams.delete(stream);
      stream.cancel();
    }
    throw new OttlaError("NETWORK_EXCEPTION", "the server ended the read stream");
  }

  async #resolveTimestamps(generation: number, active: readonly AssignedPartition[]): Promise<void> {
    for (const assigned of active) {
      const { topic, partition, version, unresolvedTimestampMs } = assigned;
      if (unresolvedTimestampMs === undefined) continue;
      const offset = await this.#options.offsetForTimestamp(topic, partition, unresolvedTimestampMs);
      if (!this.#current(generation) || assigned.version !== version) return;
      assigned.fetchFrom(offset < 0n ? "latest" : offset);
    }
  }

  #current(generation: number): boolean {
    return generation === this.#generation && !this.#closed;
  }

  /** False when the stream has to be opened anew, after a pause. */
  #received(response: ReadResponse, backoff: Backoff): boolean {
    const { topic, partition, batches, nextOffset, highWatermark, endUnknown } = response;
    const assigned = this.#options.find(topic, partition);
    if (assigned === undefined || !assigned.active) return true;
    if (response.error !== undefined)
      return this.#partitionFailed(assigned, errorFromMessage(response.error));
    backoff.reset();
    const { queue, settings } = this.#options;
    const batch =
      batches.length === 0
        ? undefined
        : new ConsumedBatch({
            topic,
            partition,
            bytes: batches,
            fromOffset: assigned.skipBelow,
            nextOffset,
            highWatermark,
            checkCrcs: settings.checkCrcs,
          });
    assigned.fetched(nextOffset);
    queue.push({
      assigned,
      version: assigned.version,
      nextOffset,
      caughtUp: nextOffset >= highWatermark && !endUnknown,
      batch,
      error: undefined,
    });
    return true;
  }

  #partitionFailed(assigned: AssignedPartition, error: OttlaError): boolean {
    const { queue, settings } = this.#options;
    if (error.code === "OFFSET_OUT_OF_RANGE" && settings.autoOffsetReset !== "error") {
      this.#options.onConnectionLost(error);
      assigned.fetchFrom(settings.autoOffsetReset);
      return false;
    }
    if (error.retriable && !FINAL_FOR_PARTITION.has(error.code)) {
      this.#options.onConnectionLost(error);
      return false;
    }
    assigned.stopped = true;
    queue.push({
      assigned,
      version: assigned.version,
      nextOffset: assigned.position ?? 0n,
      caughtUp: false,
      batch: undefined,
      error,
    });
    return true;
  }
}
