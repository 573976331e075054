import type { GroupConsumer } from "@ottla/client";
import type { SeededRandom } from "@ottla/runtime";
import type { Clients, TopicPlan } from "./clients.ts";
import type { GroupHistory } from "./group-history.ts";
import { keyOf } from "./member-work.ts";
import { describe } from "./simulated-node.ts";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { Simulation } from "./simulation.ts";

export interface GroupMembersOptions {
  readonly simulation: Simulation;
  readonly clients: Clients;
  readonly history: GroupHistory;
  readonly topics: readonly TopicPlan[];
  readonly group: string;
}

/** How long a member is there at most, before it leaves, dies or is stopped for a while. */
const MOST_LIFE_MS = 12_000;
const LEAST_LIFE_MS = 1_000;
const MOST_ABSENCE_MS = 3_000;
/** Longer than a session, at the most. */
const MOST_STOP_MS = 9_000;
const GRACE_MS = 1_500;

/** Members of one group over the SDK, which come and go. */
export class GroupMembers {
  readonly #options: GroupMembersOptions;
  readonly #stopped = new Set<SimulatedProcess>();
  #comeAndGo = true;

  constructor(options: GroupMembersOptions) {
    this.#options = options;
  }

  start(members: number): void {
    for (let number = 1; number <= members; number += 1) void this.#keep(`${this.#options.group}-${number}`);
  }

  /** Members stay from now on. */
  stay(): void {
    this.#comeAndGo = false;
    for (const process of this.#stopped) process.resume();
    this.#stopped.clear();
  }

  /** One member after another under one name. */
  async #keep(name: string): Promise<void> {
    const { clients, group, simulation, topics } = this.#options;
    const { scheduler } = simulation;
    const random = simulation.random(`${name}/lives`);
    for (let life = 1; ; life += 1) {
      const { ottla, process } = clients.open(`${name}.${life}`);
      const names = topics.map((topic) => topic.name);
      const say = (what: string) => (places: readonly { topic: string; partition: number }[]) =>
        simulation.say(process.name, () => `${what} ${places.map(keyOf).join(" ")}`);
      const consumer = ottla.consumer({
        group,
        topics: names,
        revocationGraceMs: GRACE_MS,
        onAssigned: say("is assigned"),
        onRevoked: say("is revoked"),
      });
      this.#read(consumer, process).catch((thrown: unknown) => {
        simulation.scheduler.fail(new Error(`${process.name} failed: ${describe(thrown)}`));
      });
      await scheduler.sleep(LEAST_LIFE_MS + random.float() * (MOST_LIFE_MS - LEAST_LIFE_MS));
      while (this.#comeAndGo && random.float() < 0.3) await this.#stopForAWhile(process, random);
      if (!this.#comeAndGo) return;
      if (random.float() < 0.5) await this.#leave(consumer, process);
      else this.#die(process);
      await scheduler.sleep(random.float() * MOST_ABSENCE_MS);
    }
  }

  async #read(consumer: GroupConsumer, { name }: SimulatedProcess): Promise<void> {
    const { group, history, simulation } = this.#options;
    for await (const { offset, partition, topic, value } of consumer) {
      const text = value === null ? "" : Buffer.from(value).toString();
      simulation.say(name, () => `works on ${text} at ${topic}-${partition}/${offset}`);
      history.processed(group, topic, partition, Number(offset), text);
    }
  }

  async #leave(consumer: GroupConsumer, process: SimulatedProcess): Promise<void> {
    const { simulation } = this.#options;
    simulation.say(process.name, () => "leaves");
    simulation.fault("member left");
    await consumer.close();
    process.kill();
  }

  #die(process: SimulatedProcess): void {
    const { simulation } = this.#options;
    simulation.say(process.name, () => "dies");
    simulation.fault("member died");
    process.kill();
    simulation.network.processDied(process, "runs");
  }

  async #stopForAWhile(process: SimulatedProcess, random: SeededRandom): Promise<void> {
    const { simulation } = this.#options;
    simulation.say(process.name, () => "is stopped");
    simulation.fault("member stopped");
    process.pause();
    simulation.network.processPaused(process);
    this.#stopped.add(process);
    await simulation.scheduler.sleep(random.float() ** 2 * MOST_STOP_MS);
    this.#stopped.delete(process);
    process.resume();
    await simulation.scheduler.sleep(random.float() * LEAST_LIFE_MS);
  }
}
