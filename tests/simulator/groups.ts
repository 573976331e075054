import type { Clients, TopicPlan } from "./clients.ts";
import type { SimulatedCluster } from "./cluster.ts";
import type { DiskReplicas } from "./disk-replicas.ts";
import { groupFaults } from "./group-faults.ts";
import { GroupHistory } from "./group-history.ts";
import { GroupMembers } from "./group-members.ts";
import { GroupRules } from "./group-rules.ts";
import type { History } from "./history.ts";
import { MemberNodes } from "./member-nodes.ts";
import type { MetadataRules } from "./metadata-rules.ts";
import { Nemesis } from "./nemesis.ts";
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

export const GROUP_COORDINATORS = 2;
const GROUP = "readers";
const KAFKA_MEMBERS = 2;
/** Faults of groups beside all others: not so many that nothing is ever done. */
const FAULTS_SLOWNESS = 3;

/** Which members there are, by seed: one group reads everything in each, so that seeds stay cheap. */
const CASTS = ["SDK", "classic", "consumer and SDK"] as const;

/** Consumer groups in a simulation: their members, what these did and were told, the rules. */
export class Groups {
  readonly #options: GroupsOptions;
  readonly #rules: GroupRules;
  readonly #history: GroupHistory;
  readonly #sdk: GroupMembers;
  readonly #nodes: MemberNodes | undefined;
  readonly #sdkMembers: number;
  readonly #nemesis: Nemesis;
  readonly #groups: readonly string[] = [GROUP];

  constructor(options: GroupsOptions) {
    const { cluster, clients, disks, history, metadata, simulation, topics } = options;
    this.#options = options;
    this.#rules = new GroupRules({ simulation, metadata, disks, nodes: cluster.groupCoordinators });
    this.#history = new GroupHistory({ simulation, history, rules: this.#rules });
    const cast = CASTS[(simulation.seed / 2) % CASTS.length] ?? "SDK";
    const shared = { simulation, history: this.#history, topics, group: GROUP };
    this.#sdk = new GroupMembers({ ...shared, clients });
    this.#sdkMembers = cast === "SDK" ? 2 : cast === "classic" ? 0 : 1;
    if (cast !== "SDK") {
      this.#nodes = new MemberNodes({ ...shared, protocol: cast === "classic" ? "classic" : "consumer" });
    }
    const faults = {
      name: "groups/",
      faults: groupFaults(() => this.#nodes?.nodes ?? []),
      slowness: FAULTS_SLOWNESS,
    };
    this.#nemesis = new Nemesis({ simulation, cluster, disks, metadata, ...faults });
  }

  start(): void {
    this.#sdk.start(this.#sdkMembers);
    this.#nodes?.start(KAFKA_MEMBERS);
    this.#nemesis.start();
  }

  /** Nobody comes or goes any more, and the faults end. */
  stay(): void {
    this.#nemesis.stop();
    this.#sdk.stay();
    this.#nodes?.stay();
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
