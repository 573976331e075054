import { shareKey } from "./group-log.ts";
import type { GroupRules } from "./group-rules.ts";
import type { History } from "./history.ts";
import type { MemberPlace } from "./member-work.ts";
import { broken, RuleBroken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

export interface GroupHistoryOptions {
  readonly simulation: Simulation;
  readonly history: History;
  readonly rules: GroupRules;
}

/** By topic/partition, the index of a commit in the log of which a client knows. */
export type Floors = ReadonlyMap<string, number>;

/** What a member of a classic group is told, and what it reads from it. */
export interface ClassicShare {
  readonly assignment: Uint8Array;
  readonly places: readonly MemberPlace[];
}

const NO_FLOORS: Floors = new Map();

/** What members of groups did and were told, and whether it can all be true. */
export class GroupHistory {
  readonly #options: GroupHistoryOptions;
  /** Offsets that some member has worked on, by group, topic and partition. */
  readonly #processed = new Map<string, Set<number>>();
  /** By group and place, how many commits of it in the log are surely known: never changed in place. */
  readonly #floors = new Map<string, Floors>();
  /** Members of the consumer protocol that have a partition, as they see it. */
  readonly #holders = new Map<string, Set<string>>();
  /** Of classic groups, by generation and place. */
  readonly #owners = new Map<string, string>();

  constructor(options: GroupHistoryOptions) {
    this.#options = options;
  }

  /** A member did something that was answered. */
  operated(): void {
    this.#options.history.operations += 1;
  }

  /** A member has done its work with a record, before it acknowledges it. */
  processed(group: string, topic: string, partition: number, offset: number, value: string): void {
    const { history } = this.#options;
    const key = `${group} ${topic}/${partition}`;
    const offsets = this.#processed.get(key) ?? new Set<number>();
    this.#processed.set(key, offsets);
    offsets.add(offset);
    history.operations += 1;
    history.read(topic, partition, offset, value);
  }

  /** What readers of the group's offsets must get at least, when they ask now. */
  asks(group: string): Floors {
    return this.#floors.get(group) ?? NO_FLOORS;
  }

  /** A commit was acknowledged: it is in the log. */
  stored(group: string, topic: string, partition: number, offset: number, metadata: string): void {
    const { rules, simulation } = this.#options;
    const place = `${topic}/${partition}`;
    simulation.checked("commit durable");
    this.#options.history.operations += 1;
    const index = (rules.logOf(group)?.commitsOf(group, place) ?? []).findLastIndex(
      (commit) => commit.offset === offset && commit.metadata === metadata,
    );
    if (index < 0) {
      this.#fail("R13", `${group} ${place} at ${offset} (${metadata}) was acknowledged and is not committed`);
    }
    this.#raise(group, place, index);
  }

  /** The answer to who asked for a committed offset: nothing older than what was acknowledged before. */
  told(floors: Floors, group: string, topic: string, partition: number, offset: number): void {
    const { rules, simulation } = this.#options;
    const place = `${topic}/${partition}`;
    const floor = floors.get(place) ?? -1;
    simulation.checked("offset not older");
    const commits = rules.logOf(group)?.commitsOf(group, place) ?? [];
    const index = offset < 0 ? -1 : commits.findLastIndex((commit) => commit.offset === offset);
    if (index >= floor && (offset < 0 || index >= 0)) {
      this.#raise(group, place, index);
      return;
    }
    const expected = commits[floor]?.offset ?? "nothing";
    this.#fail("at least once", `${group} ${place} is told to be at ${offset}, before it was at ${expected}`);
  }

  /** A member was told that it may have partitions. */
  got(group: string, memberId: string, places: readonly MemberPlace[]): void {
    const { rules, simulation } = this.#options;
    for (const place of places) {
      const key = `${group} ${place.topicId}/${place.partition}`;
      const holders = this.#holders.get(key) ?? new Set<string>();
      this.#holders.set(key, holders);
      simulation.checked("one member");
      for (const other of holders) {
        // Who is out of the group does not know it yet, perhaps, or hears what was said before: its commits
        // are refused.
        const members = rules.logOf(group)?.groups.get(group)?.members;
        if (other === memberId || members?.has(other) !== true || !members.has(memberId)) continue;
        this.#fail("one owner", `${memberId} got ${key}, which ${other} has not given up`);
      }
      holders.add(memberId);
    }
  }

  /** It has given them up, before it says so. */
  gaveUp(group: string, memberId: string, places: readonly MemberPlace[]): void {
    for (const { topicId, partition } of places) {
      this.#holders.get(`${group} ${topicId}/${partition}`)?.delete(memberId);
    }
  }

  /** A member of a classic group got its share of a generation: it is in the log, and nobody else's. */
  gotInGeneration(group: string, generation: number, memberId: string, share: ClassicShare): void {
    const { assignment, places } = share;
    const { rules, simulation } = this.#options;
    simulation.checked("share durable");
    const stored = rules.logOf(group)?.groups.get(group)?.shares.get(shareKey(generation, memberId));
    if (stored === undefined || !Buffer.from(stored).equals(assignment)) {
      const how = stored === undefined ? "is not committed" : "is not what is committed";
      this.#fail("R13", `${memberId} was told its share of ${group} ${generation}, which ${how}`);
    }
    for (const { topic, partition } of places) {
      const key = `${group} ${generation} ${topic}/${partition}`;
      const owner = this.#owners.get(key) ?? memberId;
      simulation.checked("one owner in a generation");
      if (owner !== memberId) {
        this.#fail(
          "one owner",
          `${owner} and ${memberId} have ${topic}-${partition} in ${group} ${generation}`,
        );
      }
      this.#owners.set(key, owner);
    }
  }

  /** What the group has committed last; -1 when there is nothing. */
  committed(group: string, topic: string, partition: number): number {
    const log = this.#options.rules.logOf(group);
    return log?.commitsOf(group, `${topic}/${partition}`).at(-1)?.offset ?? -1;
  }

  #raise(group: string, place: string, index: number): void {
    const floors = this.asks(group);
    if (index <= (floors.get(place) ?? -1)) return;
    this.#floors.set(group, new Map(floors).set(place, index));
  }

  /** Called from a member's own work: it must end the run, and not be caught as the member's trouble. */
  #fail(rule: string, message: string): void {
    this.#options.simulation.scheduler.fail(new RuleBroken(rule, message));
  }

  /** At least once: what was acknowledged and lies below the committed offset was worked on. */
  finally(group: string, topic: string, partition: number): void {
    const { history, simulation } = this.#options;
    simulation.checked("at least once");
    const committed = this.committed(group, topic, partition);
    const offsets = this.#processed.get(`${group} ${topic}/${partition}`);
    for (const offset of history.acknowledgedOffsets(topic, partition)) {
      if (offset >= committed || offsets?.has(offset) === true) continue;
      broken(
        "at least once",
        `${group} passed ${topic}-${partition}/${offset} by, committed is ${committed}`,
      );
    }
  }
}
