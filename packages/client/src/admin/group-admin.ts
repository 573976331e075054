import type { OttlaError } from "@ottla/errors";
import type { GroupService } from "@ottla/proto/ottla/v1/group";
import { type CallOptions, errorFromMessage, type RpcClient } from "@ottla/rpc";
import type { TopicPartition } from "../consume/assigned-partition.ts";
import type { GroupDescription, GroupListing } from "./group-admin-types.ts";

/** Looks at groups, sets their offsets, deletes them. */
export class GroupAdmin {
  readonly #client: RpcClient<typeof GroupService>;
  readonly #options: CallOptions;

  constructor(client: RpcClient<typeof GroupService>, options: CallOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** All groups, those of Kafka's clients too, by name; in some states only, if they are given. */
  async list(states: readonly string[] = []): Promise<GroupListing[]> {
    const { groups } = await this.#client.listGroups({ states: [...states] }, this.#options);
    return groups
      .map(({ group, state, type }) => ({ group, state, type }))
      .toSorted((left, right) => (left.group < right.group ? -1 : 1));
  }

  /** Throws GROUP_ID_NOT_FOUND. */
  async describe(group: string): Promise<GroupDescription> {
    const { state, type, assignor, members, offsets } = await this.#client.describeGroup(
      { group },
      this.#options,
    );
    return {
      group,
      state,
      type,
      assignor,
      members: members.map(({ memberId, instanceId, clientId, clientHost, partitions }) => ({
        memberId,
        instanceId: instanceId === "" ? undefined : instanceId,
        clientId,
        clientHost,
        partitions: partitions.map(({ topic, partition }) => ({ topic, partition })),
      })),
      offsets: offsets.map(({ topic, partition, committedOffset, memberId, ...log }) => ({
        topic,
        partition,
        committedOffset,
        highWatermark: log.highWatermark,
        logStartOffset: log.logStartOffset,
        lag: log.lag,
        memberId: memberId === "" ? undefined : memberId,
      })),
    };
  }

  /** Sets where a group without members goes on. Throws the first refusal. */
  async commitOffsets(
    group: string,
    offsets: readonly (TopicPartition & { readonly nextOffset: bigint })[],
  ): Promise<void> {
    const { outcomes } = await this.#client.commitOffsets({ group, offsets: [...offsets] }, this.#options);
    const refused = outcomes.find(({ error }) => error !== undefined)?.error;
    if (refused !== undefined) throw errorFromMessage(refused) satisfies OttlaError;
  }

  /** Throws NON_EMPTY_GROUP while it has members, GROUP_ID_NOT_FOUND where there is none. */
  async delete(group: string): Promise<void> {
    await this.#client.deleteGroup({ group }, this.#options);
  }
}
