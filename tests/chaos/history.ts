/** What the load writes: whose record it is, and which of theirs. */
export interface WrittenValue {
  readonly producer: string;
  readonly sequence: number;
}

export function formatValue({ producer, sequence }: WrittenValue): string {
  return `${producer}:${sequence}`;
}

const MAX_FAULTS = 50;

interface ProducerHistory {
  readonly partition: number;
  acknowledgedCount: number;
  lastAcknowledged: number;
}

/**
 * What clients have been told by a cluster: which record is where. The first word on an offset counts;
 * whoever is told something else, later or elsewhere, has found a fault. Faults are kept as sentences.
 */
export class History {
  readonly #records: (string | undefined)[][];
  readonly #producers = new Map<string, ProducerHistory>();
  readonly #nextOffsets = new Map<string, number>();
  /** For each group and partition: what was delivered out of order, and the offset below which all was. */
  readonly #deliveries = new Map<string, { next: number; readonly ahead: Set<number> }>();
  readonly #committed = new Map<string, number>();
  readonly #faults: string[] = [];
  #faultCount = 0;
  #stallsMs = new Map<string, number>();

  constructor(partitionCount: number) {
    this.#records = Array.from({ length: partitionCount }, () => []);
  }

  get partitionCount(): number {
    return this.#records.length;
  }

  get acknowledgedCount(): number {
    return [...this.#producers.values()].reduce((sum, { acknowledgedCount }) => sum + acknowledgedCount, 0);
  }

  /** The first faults, and how many there were when they were too many to keep. */
  get faults(): readonly string[] {
    const left = this.#faultCount - this.#faults.length;
    return left > 0 ? [...this.#faults, `and ${left} more`] : this.#faults;
  }

  /** How many records of each producer were acknowledged so far. */
  progress(): Map<string, number> {
    return new Map([...this.#producers].map(([name, { acknowledgedCount }]) => [name, acknowledgedCount]));
  }

  /** The longest time to an acknowledgement since the last call, for each kind of client. */
  takeLongestStallsMs(): ReadonlyMap<string, number> {
    const stalls = this.#stallsMs;
    this.#stallsMs = new Map();
    return stalls;
  }

  addProducer(name: string, partition: number): void {
    this.#producers.set(name, { partition, acknowledgedCount: 0, lastAcknowledged: -1 });
  }

  /** A producer was told that its record is stored; at offset -1 when nobody remembers where. */
  acknowledged(value: WrittenValue, offset: number, latencyMs: number): void {
    const producer = this.#producers.get(value.producer);
    if (producer === undefined) throw new Error(`there is no producer ${value.producer}`);
    producer.acknowledgedCount += 1;
    producer.lastAcknowledged = Math.max(producer.lastAcknowledged, value.sequence);
    const kind = value.producer.replace(/[-/].*/, "");
    this.#stallsMs.set(kind, Math.max(this.#stallsMs.get(kind) ?? 0, latencyMs));
    if (offset < 0) return;
    this.#note(producer.partition, offset, formatValue(value), `${value.producer} was acknowledged`);
  }

  /** A reader was given a record; it reads from the first offset, and misses none. */
  read(reader: string, partition: number, offset: number, value: string): void {
    const key = `${reader}/${partition}`;
    const expected = this.#nextOffsets.get(key) ?? 0;
    if (offset !== expected)
      this.fault(`${reader} was given offset ${offset} of partition ${partition} and not ${expected}`);
    this.#nextOffsets.set(key, offset + 1);
    this.#note(partition, offset, value, `${reader} has read`);
  }

  /** A group's member was given a record: once at the least, in any order over its members. */
  delivered(group: string, partition: number, offset: number, value: string): void {
    const key = `${group}/${partition}`;
    const deliveries = this.#deliveries.get(key) ?? { next: 0, ahead: new Set<number>() };
    this.#deliveries.set(key, deliveries);
    deliveries.ahead.add(offset);
    while (deliveries.ahead.delete(deliveries.next)) deliveries.next += 1;
    this.#note(partition, offset, value, `${group} has read`);
  }

  /** A group's member was told that its position is kept. */
  committed(group: string, partition: number, offset: number): void {
    const key = `${group}/${partition}`;
    this.#committed.set(key, Math.max(this.#committed.get(key) ?? -1, offset));
  }

  /** A group's member was given a partition, to go on at the committed offset; -1 when there is none. */
  assigned(group: string, partition: number, offset: number): void {
    const committed = this.#committed.get(`${group}/${partition}`) ?? -1;
    if (offset < committed)
      this.fault(`${group} goes on at ${offset} in partition ${partition}, where ${committed} was committed`);
  }

  /** The offset that the reader expects next, or below which a group was given all. */
  positionOf(reader: string, partition: number): number {
    const key = `${reader}/${partition}`;
    return this.#deliveries.get(key)?.next ?? this.#nextOffsets.get(key) ?? 0;
  }

  recordAt(partition: number, offset: number): string | undefined {
    return this.#records[partition]?.[offset];
  }

  /** The offset behind the last record that anyone was told of. */
  endOf(partition: number): number {
    return this.#records[partition]?.length ?? 0;
  }

  fault(sentence: string): void {
    this.#faultCount += 1;
    if (this.#faults.length < MAX_FAULTS) this.#faults.push(sentence);
  }

  /**
   * To be asked when the load is over and the readers have read all: is each producer's
   * work there, once, in order?
   */
  checkOrder(): void {
    const counts = new Map<string, number>();
    for (const [partition, records] of this.#records.entries()) {
      for (let offset = 0; offset < records.length; offset += 1) {
        const value = records[offset];
        if (value === undefined) {
          this.fault(`nobody was told of offset ${offset} of partition ${partition}`);
          continue;
        }
        const at = value.lastIndexOf(":");
        const producer = value.slice(0, at);
        const sequence = Number(value.slice(at + 1));
        const expected = counts.get(producer) ?? 0;
        if (sequence !== expected)
          this.fault(
            `${producer}'s record ${sequence} is at offset ${offset} of partition ${partition}, not ${expected}`,
          );
        counts.set(producer, sequence + 1);
      }
    }
    for (const [name, { lastAcknowledged }] of this.#producers) {
      const count = counts.get(name) ?? 0;
      if (count <= lastAcknowledged)
        this.fault(`${name} has ${count} records, but record ${lastAcknowledged} was acknowledged`);
    }
  }

  #note(partition: number, offset: number, value: string, who: string): void {
    const records = this.#records[partition];
    if (records === undefined) throw new Error(`there is no partition ${partition}`);
    const known = records[offset];
    if (known === undefined) records[offset] = value;
    else if (known !== value)
      this.fault(`${who} ${value} at offset ${offset} of partition ${partition}, where ${known} was before`);
  }
}
