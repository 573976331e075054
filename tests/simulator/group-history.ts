import type { GroupRules } from "./group-rules.ts";
import type { History } from "./history.ts";
import { broken } from "./rule-broken.ts";
import type { Simulation } from "./simulation.ts";

export interface GroupHistoryOptions {
  readonly simulation: Simulation;
  readonly history: History;
  readonly rules: GroupRules;
}

/** What members of groups did and were told. */
export class GroupHistory {
  readonly #options: GroupHistoryOptions;
  /** Offsets that some member has worked on, by group, topic and partition. */
  readonly #processed = new Map<string, Set<number>>();

  constructor(options: GroupHistoryOptions) {
    this.#options = options;
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

  /** What the group has committed last; -1 when there is nothing. */
  committed(group: string, topic: string, partition: number): number {
    const log = this.#options.rules.logOf(group);
    return log?.commitsOf(group, `${topic}/${partition}`).at(-1)?.offset ?? -1;
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
