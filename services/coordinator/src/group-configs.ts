import { invalidRequest, OttlaError } from "@ottla/errors";
import {
  checkGroupConfig,
  type GroupDefaults,
  groupConfigStateCodec,
  type Revision,
  type TopicConfigMap,
} from "@ottla/metadata";
import type { SerialQueue } from "./serial-queue.ts";
import { type Term, writeAndSee } from "./term.ts";
import type { ConfigChange } from "./topic-requests.ts";

/** It stands in the record's key, which the store keeps in memory. */
const MAX_GROUP_ID_BYTES = 1_024;

/** Kafka's defaults, where the coordinator was told no others. */
const KAFKA_DEFAULTS: GroupDefaults = {
  consumerSessionTimeoutMs: 45_000,
  consumerMinSessionTimeoutMs: 45_000,
  consumerMaxSessionTimeoutMs: 60_000,
  consumerHeartbeatIntervalMs: 5_000,
  consumerMinHeartbeatIntervalMs: 5_000,
  consumerMaxHeartbeatIntervalMs: 15_000,
};

/** The settings of groups, which nobody has to know yet; one change after another. */
export class GroupConfigs {
  readonly #term: Term;
  readonly #queue: SerialQueue;

  constructor(term: Term, queue: SerialQueue) {
    this.#term = term;
    this.#queue = queue;
  }

  /** Throws INVALID_CONFIG, INVALID_GROUP_ID, or POLICY_VIOLATION where too many groups have settings. */
  alter(
    groupId: string,
    change: ConfigChange,
    validateOnly: boolean,
    signal: AbortSignal,
  ): Promise<Revision> {
    return this.#queue.run(() => this.#alter(groupId, change, validateOnly), signal);
  }

  async #alter(groupId: string, change: ConfigChange, validateOnly: boolean): Promise<Revision> {
    const { view, defaults, limits, logger } = this.#term;
    checkGroupId(groupId);
    const before = view.groupConfigs.get(groupId);
    const configs = changed(before?.configs ?? {}, change);
    checkGroupConfig(configs, defaults.groups ?? KAFKA_DEFAULTS);
    const isEmpty = Object.keys(configs).length === 0;
    if (before === undefined && !isEmpty && view.groupConfigs.size >= limits.maxGroupConfigs) {
      throw tooMany(limits.maxGroupConfigs);
    }
    if (validateOnly || (before === undefined && isEmpty)) return view.revision;
    const key = view.keys.groupConfig(groupId);
    const revision = await writeAndSee(this.#term, {
      compare: [{ key, modRevision: before?.modRevision ?? 0 }],
      success: [
        isEmpty
          ? { kind: "delete", key }
          : { kind: "put", key, value: groupConfigStateCodec.encode({ configs }) },
      ],
    });
    logger.info({ groupId, set: change.set, remove: change.remove }, "group settings changed");
    return revision;
  }
}

function changed(before: TopicConfigMap, { set, remove }: ConfigChange): TopicConfigMap {
  const configs: Record<string, string> = { ...before };
  for (const name of remove) {
    if (Object.hasOwn(set, name)) throw invalidRequest("remove", `${name} is in "set" as well`);
    delete configs[name];
  }
  return Object.assign(configs, set);
}

function checkGroupId(groupId: string): void {
  if (groupId !== "" && Buffer.byteLength(groupId) <= MAX_GROUP_ID_BYTES) return;
  const message = `the id of a group with settings must have 1 to ${MAX_GROUP_ID_BYTES} bytes`;
  throw new OttlaError("INVALID_GROUP_ID", message, {
    metadata: { field: "group_id", limit: String(MAX_GROUP_ID_BYTES) },
  });
}

function tooMany(limit: number): OttlaError {
  const message = `${limit} groups have settings of their own already: take those of others away first`;
  return new OttlaError("POLICY_VIOLATION", message, { metadata: { limit: String(limit) } });
}
