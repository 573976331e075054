import { type OttlaError, toOttlaError } from "@ottla/errors";
import { decodeRecords, readBatchHeader } from "@ottla/records";
import {
  ControllerClient,
  EARLIEST_TIMESTAMP,
  fromErrorMessage,
  GroupRouter,
  PartitionRouter,
} from "@ottla/routing";
import type { SeededRandom } from "@ottla/runtime";
import type { GroupHistory } from "./group-history.ts";
import { type CommitMark, encodeMark } from "./group-log.ts";
import type { NodeSurroundings } from "./simulated-node.ts";
import type { Simulation } from "./simulation.ts";

export interface MemberOptions {
  readonly simulation: Simulation;
  readonly history: GroupHistory;
  readonly group: string;
  readonly topics: readonly string[];
  /** What the gateway has in place of a machine: a member and its gateway are one here. */
  readonly around: NodeSurroundings;
  /** Of the member through all its lives. */
  readonly name: string;
  readonly random: SeededRandom;
}

export interface MemberPlace {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
}

/** As whom a member commits and reads offsets. */
export type Identity = Omit<CommitMark, "number">;

const CALL_TIMEOUT_MS = 2_500;
const FETCH_BYTES = 64 * 1024;
const FETCH_WAIT_MS = 60;
const FETCH_RETRY_MS = 300;
const CONTROLLER_RETRY_MS = 5_000;

/** What members of both protocols do alike: they read, work, commit, and go on where was committed. */
export class MemberWork {
  readonly groups: GroupRouter;
  readonly #options: MemberOptions;
  readonly #router: PartitionRouter;
  /** Where each partition goes on. */
  readonly #positions = new Map<string, { readonly place: MemberPlace; next: number; committed: number }>();
  #commits = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
    const { around } = options;
    const { view } = around;
    const { clock } = around.process;
    const transport = () => around.toController();
    const controller = new ControllerClient({ view, clock, transport, retryMs: CONTROLLER_RETRY_MS });
    const transportTo = (nodeId: number) => around.toGroupCoordinator(nodeId);
    this.groups = new GroupRouter({ view, clock, controller, transportTo, commitTimeoutMs: CALL_TIMEOUT_MS });
    this.#router = new PartitionRouter({ view, clock, transportFor: (nodeId) => around.toStorage(nodeId) });
  }

  get places(): MemberPlace[] {
    return [...this.#positions.values()].map(({ place }) => place);
  }

  has(place: MemberPlace): boolean {
    return this.#positions.has(keyOf(place));
  }

  /** Begins partitions where the group has come to; `member` for those who are told only in their epoch. */
  async begin(
    places: readonly MemberPlace[],
    member: { readonly memberId: string; readonly memberEpoch: number } | undefined,
  ): Promise<void> {
    const { group, history } = this.#options;
    const asked = places.map(({ topic, partition }) => ({ topic, partition }));
    const request = { groupId: group, memberEpoch: -1, ...member, all: false, partitions: asked };
    const known = history.asks(group);
    const { offsets } = await this.groups.call(group, (owner) =>
      owner.fetchOffsets(request, { timeoutMs: CALL_TIMEOUT_MS }),
    );
    for (const [index, place] of places.entries()) {
      const committed = Number(offsets[index]?.offset ?? -1n);
      history.told(known, group, place.topic, place.partition, committed);
      const next = committed >= 0 ? committed : await this.#logStart(place);
      this.#positions.set(keyOf(place), { place, next, committed });
    }
  }

  /** Nobody reads them here any more. */
  drop(places: readonly MemberPlace[]): void {
    for (const place of places) this.#positions.delete(keyOf(place));
  }

  /** Reads a little of each partition and works on it. */
  async readOn(): Promise<void> {
    for (const [key, position] of this.#positions) {
      const { place, next } = position;
      try {
        const fetched = await this.#router.fetch({
          ...place,
          offset: next,
          maxBytes: FETCH_BYTES,
          minBytes: 1,
          maxWaitMs: FETCH_WAIT_MS,
          retryMs: FETCH_RETRY_MS,
        });
        if (this.#positions.get(key) !== position) continue;
        for (const chunk of fetched.chunks) this.#work(place, next, chunk);
        position.next = Math.max(next, fetched.nextOffset);
      } catch (thrown) {
        const error = toOttlaError(thrown);
        if (error.code === "OFFSET_OUT_OF_RANGE") position.next = await this.#logStart(place);
        else if (!error.retriable) throw error;
      }
    }
  }

  /** Commits what was worked on; undefined when that is stored. */
  async commit(identity: Identity): Promise<OttlaError | undefined> {
    const { group, history } = this.#options;
    const done = [...this.#positions.values()].filter(({ next, committed }) => next > committed);
    if (done.length === 0) return undefined;
    this.#commits += 1;
    const metadata = encodeMark({ ...identity, number: this.#commits });
    const offsets = done.map(({ place, next }) => ({
      ...place,
      offset: BigInt(next),
      leaderEpoch: -1,
      metadata,
    }));
    const { memberId, generationOrEpoch } = identity;
    const request = { groupId: group, memberId, generationOrEpoch, retentionMs: -1n, offsets };
    try {
      const { errors } = await this.groups.commitOffsets(request);
      const refused = errors.find(({ reason }) => reason !== "");
      if (refused !== undefined) return fromErrorMessage(refused);
      for (const [index, position] of done.entries()) {
        const offset = Number(offsets[index]?.offset);
        position.committed = offset;
        history.stored(group, position.place.topic, position.place.partition, offset, metadata);
      }
      return undefined;
    } catch (thrown) {
      return toOttlaError(thrown);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.groups.close(), this.#router.close()]);
  }

  #work(place: MemberPlace, from: number, chunk: Uint8Array): void {
    const { group, history, name, simulation } = this.#options;
    const { topic, partition } = place;
    for (let position = 0; position < chunk.length; ) {
      const header = readBatchHeader(chunk, position);
      const batch = chunk.subarray(position, position + header.sizeBytes);
      position += header.sizeBytes;
      if (header.isControl) continue;
      for (const { offset, value } of decodeRecords(batch)) {
        if (offset < from) continue;
        const text = value === null ? "" : Buffer.from(value).toString();
        simulation.say(name, () => `works on ${text} at ${topic}-${partition}/${offset}`);
        history.processed(group, topic, partition, offset, text);
      }
    }
  }

  async #logStart({ topicId, partition }: MemberPlace): Promise<number> {
    const { clock } = this.#options.around.process;
    for (;;) {
      const query = { topicId, partition, timestampMs: EARLIEST_TIMESTAMP };
      const [found] = await this.#router.listOffsets([query]);
      if (found !== undefined && !(found instanceof Error)) return found.offset;
      await clock.sleep(FETCH_RETRY_MS);
    }
  }
}

export function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}
