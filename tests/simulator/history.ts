import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

interface PartitionHistory {
  readonly name: string;
  /** By offset: what a reader saw there, or a producer was told is there. */
  readonly known: Map<number, string>;
  readonly acknowledged: Map<number, string>;
  /** Records below it may be gone: somebody has asked for that. */
  deletedBefore: number;
  /** Records below it are gone: somebody was told so. */
  deletedTo: number;
}

/** A record as the checks know it: who sent it, and its number among those of that producer. */
export interface SentRecord {
  readonly producer: string;
  readonly sequence: number;
}

export function valueOf({ producer, sequence }: SentRecord): string {
  return `${producer}:${sequence}`;
}

function parseValue(value: string): SentRecord {
  const [producer = "", sequence = ""] = value.split(":");
  return { producer, sequence: Number(sequence) };
}

/** Producers whose names begin so wait for the leader alone: what they are told does not bind. */
export const WEAK = "weak";

/** What the clients were told, and whether it can all be true. */
export class History {
  readonly #simulation: Simulation;
  readonly #partitions = new Map<string, PartitionHistory>();
  operations = 0;
  acknowledgedCount = 0;
  readCount = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  acknowledged(topic: string, partition: number, offset: number, value: string): void {
    const history = this.#of(topic, partition);
    this.acknowledgedCount += 1;
    this.#simulation.checked("acknowledged once");
    // The log start passed it: where it was is not known any more (R11).
    if (offset < 0) return;
    this.#agree(history, offset, value, "was acknowledged");
    history.acknowledged.set(offset, value);
  }

  /** A reader got the record. Readers get the records of a partition in order. */
  read(topic: string, partition: number, offset: number, value: string): void {
    this.readCount += 1;
    this.#simulation.checked("R5 read");
    this.#agree(this.#of(topic, partition), offset, value, "was read");
  }

  /** Those that are there for sure, as far as clients know. */
  *acknowledgedOffsets(topic: string, partition: number): Generator<number> {
    const { acknowledged, deletedBefore } = this.#of(topic, partition);
    for (const offset of acknowledged.keys()) if (offset >= deletedBefore) yield offset;
  }

  deleteRequested(topic: string, partition: number, beforeOffset: number): void {
    const history = this.#of(topic, partition);
    history.deletedBefore = Math.max(history.deletedBefore, beforeOffset);
  }

  /** The answer to it: no reader gets less from then on. */
  deleted(topic: string, partition: number, logStart: number): void {
    const history = this.#of(topic, partition);
    history.deletedTo = Math.max(history.deletedTo, logStart);
  }

  /** Somebody has read it, and asked for the deletion of everything up to beyond it. */
  isDeleted(topic: string, partition: number, value: string): boolean {
    const { known, deletedBefore } = this.#of(topic, partition);
    return known.entries().some(([offset, stored]) => stored === value && offset < deletedBefore);
  }

  /** All of the producer's records that somebody has seen are below what was asked to be deleted. */
  isForgotten(topic: string, partition: number, producer: string): boolean {
    const { known, deletedBefore } = this.#of(topic, partition);
    return known.entries().every(([offset, value]) => {
      return offset < deletedBefore || parseValue(value).producer !== producer;
    });
  }

  deletedTo(topic: string, partition: number): number {
    return this.#of(topic, partition).deletedTo;
  }

  deletedBefore(topic: string, partition: number): number {
    return this.#of(topic, partition).deletedBefore;
  }

  /** The highest offset of which a client knows, plus one. */
  knownEnd(topic: string, partition: number): number {
    return Math.max(
      0,
      ...this.#of(topic, partition)
        .known.keys()
        .map((offset) => offset + 1),
    );
  }

  /** All that a partition holds at last, once everything has recovered. */
  finally(topic: string, partition: number, logStart: number, records: ReadonlyMap<number, string>): void {
    const history = this.#of(topic, partition);
    this.#simulation.checked("final contents");
    if (logStart > history.deletedBefore) {
      broken("R14", `${history.name} begins at ${logStart}, nobody deleted beyond ${history.deletedBefore}`);
    }
    if (logStart < history.deletedTo) {
      broken(
        "R14",
        `${history.name} begins at ${logStart}, deletion up to ${history.deletedTo} was answered`,
      );
    }
    for (const [offset, value] of history.known) {
      if (offset < logStart) continue;
      const found = records.get(offset);
      if (found === value) continue;
      const how = history.acknowledged.has(offset) ? "acknowledged" : "seen by a reader";
      broken(
        "promise 3",
        `${history.name}: ${value} was ${how} at ${offset}, where now is ${found ?? "nothing"}`,
      );
    }
    this.#onceAndInOrder(history, records);
  }

  #onceAndInOrder(history: PartitionHistory, records: ReadonlyMap<number, string>): void {
    const last = new Map<string, number>();
    for (const [offset, value] of [...records].sort(([a], [b]) => a - b)) {
      const { producer, sequence } = parseValue(value);
      if (producer.startsWith(WEAK)) continue;
      const before = last.get(producer) ?? -1;
      if (sequence === before) broken("R11", `${history.name} holds ${value} twice, again at ${offset}`);
      if (sequence < before) {
        broken("R11", `${history.name} holds ${value} at ${offset} behind ${producer}:${before}`);
      }
      last.set(producer, sequence);
    }
  }

  #agree(history: PartitionHistory, offset: number, value: string, how: string): void {
    const known = history.known.get(offset);
    if (known !== undefined && known !== value) {
      broken("R5", `${history.name}: ${value} ${how} at ${offset}, where ${known} was seen before`);
    }
    history.known.set(offset, value);
  }

  #of(topic: string, partition: number): PartitionHistory {
    const name = `${topic}-${partition}`;
    let history = this.#partitions.get(name);
    if (history === undefined) {
      history = { name, known: new Map(), acknowledged: new Map(), deletedBefore: 0, deletedTo: 0 };
      this.#partitions.set(name, history);
    }
    return history;
  }
}
