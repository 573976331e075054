import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  type ClusterTopic,
  type ClusterView,
  parseTopicConfig,
  type TopicConfig,
  type TopicConfigMap,
  validateTopicName,
} from "@ottla/metadata";
import type { Clock, Logger } from "@ottla/runtime";

/** A topic as the gateway uses it: its state and its effective settings. */
export interface Topic {
  readonly name: string;
  readonly topicId: string;
  readonly partitionCount: number;
  readonly internal: boolean;
  readonly config: TopicConfig;
  readonly state: ClusterTopic;
}

export interface TopicsOptions {
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly topicDefaults: TopicConfigMap;
  readonly logger: Logger;
  /** A topic that was used here was deleted. */
  readonly onGone: (name: string) => void;
}

/** After the store did not answer it is not asked for so long: each caller would wait for it anew (R10). */
const AWAY_MS = 1_000;

/** Finds topics by name in the view, and asks the metadata store before it says that there is none. */
export class Topics {
  readonly #options: TopicsOptions;
  /** Parsed once for each change of a topic. */
  readonly #parsed = new Map<string, Topic>();
  #refreshing: Promise<boolean> | undefined;
  #awayUntilMs = 0;

  constructor(options: TopicsOptions) {
    this.#options = options;
    options.view.onChange((change) => {
      for (const topicId of change.topicIds) {
        const known = this.#parsed.get(topicId);
        if (known === undefined || options.view.topicById(topicId)?.phase === "live") continue;
        this.#parsed.delete(topicId);
        options.onGone(known.name);
      }
    });
  }

  /** Throws INVALID_TOPIC_EXCEPTION; undefined when the view shows no such topic. */
  find(name: string, field = "topic"): Topic | undefined {
    checkTopicName(name, field);
    const state = this.#options.view.topicByName(name);
    return state === undefined ? undefined : this.#topicOf(state);
  }

  /**
   * The topic, after asking the store where the view shows none, or no such partition of it. Throws
   * INVALID_TOPIC_EXCEPTION, UNKNOWN_TOPIC_OR_PARTITION when the store knows no such topic either, and
   * METADATA_UNAVAILABLE where only the store could tell.
   */
  async get(name: string, field = "topic", partition = 0): Promise<Topic> {
    const known = this.find(name, field);
    if (known !== undefined && partition < known.partitionCount) return known;
    const isCurrent = await this.refresh();
    const found = this.find(name, field);
    if (found !== undefined && (isCurrent || partition < found.partitionCount)) return found;
    if (!isCurrent) {
      const what = `${field}: whether there is such a topic or partition as ${name}-${partition}`;
      throw new OttlaError("METADATA_UNAVAILABLE", `${what} cannot be told while the store is away`);
    }
    throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `${field}: topic "${name}" does not exist`, {
      metadata: { field, topic: name },
    });
  }

  /**
   * Catches up with the store, one read for all who ask at the same time. Resolves with whether it could:
   * if not, what is known may be old.
   */
  refresh(): Promise<boolean> {
    const { clock, view, logger } = this.#options;
    if (clock.monotonic() < this.#awayUntilMs) return Promise.resolve(false);
    this.#refreshing ??= view
      .refresh()
      .then(
        () => true,
        (thrown: unknown) => {
          this.#awayUntilMs = clock.monotonic() + AWAY_MS;
          logger.debug({ err: toOttlaError(thrown) }, "cannot refresh the view of the cluster");
          return false;
        },
      )
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  #topicOf(state: ClusterTopic): Topic {
    const known = this.#parsed.get(state.topicId);
    if (known?.state === state) return known;
    const topic: Topic = {
      name: state.name,
      topicId: state.topicId,
      partitionCount: state.partitionCount,
      internal: state.internal,
      config: parseTopicConfig(state.configs, this.#options.topicDefaults),
      state,
    };
    this.#parsed.set(state.topicId, topic);
    return topic;
  }
}

/** Kafka's rules for names; the error names the request's own field. */
export function checkTopicName(name: string, field: string): void {
  try {
    validateTopicName(name);
  } catch (thrown) {
    const error = toOttlaError(thrown);
    throw new OttlaError(error.code, `${field}: ${error.message}`, {
      metadata: { ...error.metadata, field },
    });
  }
}

/** Clients may read the system's own topics, and may not change them. */
export function refuseInternal(topic: Topic, field = "topic"): void {
  if (!topic.internal) return;
  throw new OttlaError(
    "INVALID_TOPIC_EXCEPTION",
    `${field}: topic "${topic.name}" is internal: clients may not change it`,
    { metadata: { field } },
  );
}
