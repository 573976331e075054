import { OttlaError, toOttlaError } from "@ottla/errors";
import type { KafkaServices } from "./kafka-services.ts";

/** How many topics are being created at once; further ones are told to come back. */
const MAX_CREATIONS = 16;
/** How long a client waits for its new topic before it is told to come back. */
const CREATE_TIMEOUT_MS = 5_000;

/** Creates topics that clients ask for, each once however many ask, and few at a time. */
export class AutoCreate {
  readonly #services: Pick<KafkaServices, "changes">;
  readonly #creating = new Map<string, Promise<void>>();

  constructor(services: Pick<KafkaServices, "changes">) {
    this.#services = services;
  }

  /**
   * Resolves when the topic shows in the view; rejects with LEADER_NOT_AVAILABLE when the
   * client should come back.
   */
  create(name: string): Promise<void> {
    const known = this.#creating.get(name);
    if (known !== undefined) return known;
    if (this.#creating.size >= MAX_CREATIONS) {
      const message = `${MAX_CREATIONS} topics are being created already: try again`;
      return Promise.reject(new OttlaError("LEADER_NOT_AVAILABLE", message));
    }
    const creation = this.#create(name).finally(() => this.#creating.delete(name));
    this.#creating.set(name, creation);
    return creation;
  }

  async #create(name: string): Promise<void> {
    const topic = { name, partitions: 0, replicationFactor: 0, configs: {}, assignments: [] };
    try {
      await this.#services.changes.create(topic, { timeoutMs: CREATE_TIMEOUT_MS, validateOnly: false });
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code === "TOPIC_ALREADY_EXISTS") return;
      if (!error.retriable) throw error;
      throw new OttlaError("LEADER_NOT_AVAILABLE", `topic ${name} is being created: try again`, {
        cause: error,
      });
    }
  }
}
