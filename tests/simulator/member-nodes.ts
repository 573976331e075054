import type { SeededRandom } from "@ottla/runtime";
import { ClassicProtocolMember } from "./classic-protocol-member.ts";
import type { TopicPlan } from "./clients.ts";
import { ConsumerProtocolMember } from "./consumer-protocol-member.ts";
import type { GroupHistory } from "./group-history.ts";
import { describe, SimulatedNode } from "./simulated-node.ts";
import type { Simulation } from "./simulation.ts";

export interface MemberNodesOptions {
  readonly simulation: Simulation;
  readonly history: GroupHistory;
  readonly topics: readonly TopicPlan[];
  readonly group: string;
  readonly protocol: "classic" | "consumer";
}

const LEAST_LIFE_MS = 1_000;
const MOST_LIFE_MS = 10_000;
const MOST_ABSENCE_MS = 2_500;
/** Longer than a session, at the most. */
const MOST_STOP_MS = 9_000;

/**
 * Members of a group that speak Kafka's protocols, each in a process of its own with what a gateway has to
 * carry its calls: they come, leave, die and are stopped.
 */
export class MemberNodes {
  readonly #options: MemberNodesOptions;
  readonly nodes: SimulatedNode[] = [];
  #comeAndGo = true;

  constructor(options: MemberNodesOptions) {
    this.#options = options;
  }

  start(members: number): void {
    for (let number = 1; number <= members; number += 1) {
      const node = this.#node(`${this.#options.group}-${this.#options.protocol}-${number}`, number);
      this.nodes.push(node);
      void this.#keep(node);
    }
  }

  /** Members stay from now on. */
  stay(): void {
    this.#comeAndGo = false;
    for (const node of this.nodes) {
      node.process?.resume();
      node.start();
    }
  }

  #node(name: string, nodeId: number): SimulatedNode {
    const { group, history, protocol, simulation, topics } = this.#options;
    return new SimulatedNode({
      simulation,
      name,
      nodeId,
      start: async (around) => {
        const random = around.random.fork("member");
        const names = topics.map((topic) => topic.name);
        const options = { simulation, history, group, topics: names, around, name, random };
        const member =
          protocol === "classic" ? new ClassicProtocolMember(options) : new ConsumerProtocolMember(options);
        const running = member.run();
        running.catch((thrown: unknown) => {
          simulation.scheduler.fail(new Error(`${name} failed: ${describe(thrown)}`));
        });
        return {
          stop: async () => {
            member.stop();
            await running;
          },
        };
      },
    });
  }

  async #keep(node: SimulatedNode): Promise<void> {
    const { simulation } = this.#options;
    const { scheduler } = simulation;
    const random = simulation.random(`${node.name}/lives`);
    while (this.#comeAndGo) {
      node.start();
      await scheduler.sleep(LEAST_LIFE_MS + random.float() * (MOST_LIFE_MS - LEAST_LIFE_MS));
      while (this.#comeAndGo && random.float() < 0.4) await this.#stopForAWhile(node, random);
      if (!this.#comeAndGo) return;
      if (random.float() < 0.4) await this.#leave(node);
      else {
        simulation.fault("member died");
        node.crash("process");
      }
      await scheduler.sleep(random.float() * MOST_ABSENCE_MS);
    }
    node.start();
  }

  async #leave(node: SimulatedNode): Promise<void> {
    if (!node.isServing) return;
    this.#options.simulation.fault("member left");
    await new Promise<void>((resolve) => node.stop(resolve));
  }

  async #stopForAWhile(node: SimulatedNode, random: SeededRandom): Promise<void> {
    const { simulation } = this.#options;
    const { process } = node;
    if (process === undefined) return;
    simulation.say(node.name, () => "is stopped");
    simulation.fault("member stopped");
    process.pause();
    simulation.network.processPaused(process);
    await simulation.scheduler.sleep(random.float() * MOST_STOP_MS);
    process.resume();
    await simulation.scheduler.sleep(random.float() * LEAST_LIFE_MS);
  }
}
