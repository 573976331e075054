import type { Clients, TopicPlan } from "./clients.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { DiskReplicas } from "./disk-replicas.ts";
import { GroupHistory } from "./group-history.ts";
import { GroupMembers } from "./group-members.ts";
import { GroupRules } from "./group-rules.ts";
import type { History } from "./history.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import type { Simulation } from "./simulation.ts";

export interface GroupsOptions {
  readonly simulation: Simulation;
  readonly cluster: SimulatedCluster;
  readonly clients: Clients;
  readonly history: History;
  readonly metadata: MetadataRules;
  readonly disks: DiskReplicas;
  readonly topics: readonly TopicPlan[];
}

/** In seeds without groups everything else is as it would be if there were none. */
export function hasGroups(seed: number): boolean {
  return seed % 2 === 0;
}

export const GROUP_COORDINATORS = 2;

/** Consumer groups in a simulation: their members, what these did and were told, the rules. */
export class Groups {
  readonly #options: GroupsOptions;
  readonly #rules: GroupRules;
  readonly #history: GroupHistory;
  readonly #members: readonly GroupMembers[];
  readonly #groups: readonly string[] = ["readers"];

  constructor(options: GroupsOptions) {
    const { cluster, clients, disks, history, metadata, simulation, topics } = options;
    this.#options = options;
    this.#rules = new GroupRules({ simulation, metadata, disks, nodes: cluster.groupCoordinators });
    this.#history = new GroupHistory({ simulation, history, rules: this.#rules });
    const shared = { simulation, clients, history: this.#history, topics };
    this.#members = [new GroupMembers({ ...shared, group: "readers" })];
  }

  start(): void {
    for (const members of this.#members) members.start(2);
  }

  /** Nobody comes or goes any more. */
  stay(): void {
    for (const members of this.#members) members.stay();
  }

  /** After every event. */
  check(): void {
    this.#rules.check();
  }

  /** Why the groups have not read everything; undefined when they have. */
  whyNotDone(): string | undefined {
    const { history } = this.#options;
    for (const { group, topic, partition } of this.#places()) {
      const end = history.knownEnd(topic, partition);
      const committed = this.#history.committed(group, topic, partition);
      if (committed >= end || history.deletedBefore(topic, partition) >= end) continue;
      return `${group} has committed ${committed} of ${end} in ${topic}-${partition}`;
    }
    return undefined;
  }

  finally(): void {
    for (const { group, topic, partition } of this.#places()) {
      this.#history.finally(group, topic, partition);
    }
  }

  *#places(): Generator<{ readonly group: string; readonly topic: string; readonly partition: number }> {
    for (const group of this.#groups) {
      for (const { name, partitions } of this.#options.topics) {
        for (let partition = 0; partition < partitions; partition += 1) {
          yield { group, topic: name, partition };
        }
      }
    }
  }
}
