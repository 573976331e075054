import { type ErrorCode, OttlaError, toOttlaError } from "@ottla/errors";
import { type ClusterView, GROUPS_TOPIC } from "@ottla/metadata";
import { type CommitOffsetsResponse, GroupCoordinatorService } from "@ottla/proto/ottla/internal/v1/groups";
import { type CallOptions, createClient, NOT_SENT, type RpcClient, type Transport } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import type { ControllerClient } from "./controller-client.ts";
import { type CommitInit, GroupCommits } from "./group-commits.ts";
import { groupPartition } from "./group-partition.ts";

type GroupClient = RpcClient<typeof GroupCoordinatorService>;
type CommitOptions = Pick<CallOptions, "metadata" | "signal">;

export interface GroupRouterOptions {
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly controller: ControllerClient;
  /** Opens a connection to a group-coordinator; the router closes what it opened. */
  readonly transportTo: (nodeId: number) => Transport;
  /** How long a call is tried again while its group changes owners. Default 5,000 ms. */
  readonly retryMs?: number;
  /** Of one attempt to store offsets. Default: that of all calls. */
  readonly commitTimeoutMs?: number;
}

/** The node asked does not serve the group now, and nothing was done: its owner may do it. */
const NOT_DONE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "NOT_COORDINATOR",
  "COORDINATOR_LOAD_IN_PROGRESS",
  "COORDINATOR_NOT_AVAILABLE",
  // A process that has just started again, under its registration of before.
  "UNIMPLEMENTED",
]);
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 250;
/** Key of an error's metadata: the call may have taken effect, so that its caller alone can repeat it. */
export const OUTCOME_UNKNOWN = "outcome_unknown";

/** Key of an error's metadata: the owner has no room for what is asked; its caller may ask again later. */
export const ASK_LATER = "ask_later";

interface Connection {
  readonly nodeEpoch: number;
  readonly transport: Transport;
  readonly client: GroupClient;
  readonly commits: GroupCommits;
}

/**
 * Carries calls about groups to the nodes that own them, by the metadata. The groups' topic is created when
 * the first group is asked for.
 */
export class GroupRouter {
  readonly #options: GroupRouterOptions;
  readonly #connections = new Map<number, Connection>();
  #creating: Promise<void> | undefined;
  #closed = false;

  constructor(options: GroupRouterOptions) {
    this.#options = options;
    options.view.onChange(({ nodes }) => {
      for (const { role, nodeId } of nodes) if (role === "group-coordinator") this.#dropStale(nodeId);
    });
  }

  /** Asks the group's owner, and looks for it again while there is none or it is loading. */
  call<T>(groupId: string, ask: (owner: GroupClient) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#retried(groupId, ({ client }) => ask(client), signal);
  }

  /** CommitOffsets; commits of groups that share a log travel together, where they are not traced. */
  commitOffsets(request: CommitInit, options: CommitOptions = {}): Promise<CommitOffsetsResponse> {
    const { signal } = options;
    const commit = ({ client, commits }: Connection, partition: number): Promise<CommitOffsetsResponse> =>
      options.metadata === undefined
        ? commits.add(partition, request, signal)
        : client.commitOffsets(request, options);
    return this.#retried(request.groupId, commit, signal);
  }

  async #retried<T>(
    groupId: string,
    ask: (owner: Connection, partition: number) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { clock, view, retryMs = 5_000 } = this.#options;
    const deadlineMs = clock.monotonic() + retryMs;
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2)) {
      try {
        const { owner, partition } = await this.#ownerOf(groupId);
        return await ask(owner, partition);
      } catch (thrown) {
        const error = toOttlaError(thrown);
        const isLate = clock.monotonic() + backoffMs > deadlineMs;
        if (!mayAskAgain(error) || isLate || this.#closed || signal?.aborted === true) throw final(error);
        await clock.sleep(backoffMs, signal);
        await view.refresh().catch(() => undefined);
      }
    }
  }

  /** Asks all nodes that own groups, once each. Rejects when one of them cannot answer for its own. */
  async callAll<T>(ask: (owner: GroupClient) => Promise<T>): Promise<T[]> {
    const { view } = this.#options;
    const topic = view.topicByName(GROUPS_TOPIC);
    if (topic === undefined) return [];
    const nodeIds = new Set<number>();
    for (const { partition, nodeId } of view.groupOwners()) {
      if (partition < topic.partitionCount) nodeIds.add(nodeId);
    }
    return Promise.all([...nodeIds].map((nodeId) => ask(this.#connectionTo(nodeId).client)));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    await Promise.all(connections.map((connection) => closeConnection(connection)));
  }

  async #ownerOf(groupId: string): Promise<{ owner: Connection; partition: number }> {
    const { view } = this.#options;
    if (view.topicByName(GROUPS_TOPIC) === undefined) await this.#createTopic();
    const topic = view.topicByName(GROUPS_TOPIC);
    const partition = topic && groupPartition(groupId, topic.partitionCount);
    const owner = partition === undefined ? undefined : view.groupOwner(partition);
    if (partition === undefined || owner === undefined) throw notAvailable("no node owns the group yet");
    return { owner: this.#connectionTo(owner.nodeId), partition };
  }

  #connectionTo(nodeId: number): Connection {
    const { clock, commitTimeoutMs, view, transportTo } = this.#options;
    if (this.#closed) throw new OttlaError("UNAVAILABLE", "the gateway is shutting down");
    const node = view.node("group-coordinator", nodeId);
    if (node === undefined) throw notAvailable(`group-coordinator ${nodeId}, the group's owner, is away`);
    const known = this.#connections.get(nodeId);
    if (known?.nodeEpoch === node.nodeEpoch) return known;
    this.#dropStale(nodeId);
    const transport = transportTo(nodeId);
    const client = createClient(GroupCoordinatorService, transport);
    const timeout = commitTimeoutMs === undefined ? {} : { timeoutMs: commitTimeoutMs };
    const commits = new GroupCommits({ client, clock, ...timeout });
    const connection = { nodeEpoch: node.nodeEpoch, transport, client, commits };
    this.#connections.set(nodeId, connection);
    return connection;
  }

  /** Connections lead to one registration of a node: after it, the same address may be another process. */
  #dropStale(nodeId: number): void {
    const known = this.#connections.get(nodeId);
    if (known === undefined) return;
    if (this.#options.view.node("group-coordinator", nodeId)?.nodeEpoch === known.nodeEpoch) return;
    this.#connections.delete(nodeId);
    void closeConnection(known);
  }

  #createTopic(): Promise<void> {
    this.#creating ??= this.#askForTopic().finally(() => {
      this.#creating = undefined;
    });
    return this.#creating;
  }

  async #askForTopic(): Promise<void> {
    const { controller, view } = this.#options;
    await view.refresh().catch(() => undefined);
    if (view.topicByName(GROUPS_TOPIC) !== undefined) return;
    try {
      const { revision } = await controller.call((client) => client.createTopic({ name: GROUPS_TOPIC }));
      await view.waitForRevision(Number(revision));
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code !== "TOPIC_ALREADY_EXISTS") throw notAvailable(error.message);
    }
  }
}

function closeConnection({ commits, transport }: Connection): Promise<void> {
  commits.close();
  return transport.close();
}

function mayAskAgain(error: OttlaError): boolean {
  if (error.metadata[OUTCOME_UNKNOWN] === "true" || error.metadata[ASK_LATER] === "true") return false;
  return NOT_DONE.has(error.code) || error.metadata[NOT_SENT] === "true";
}

/** Its caller may come back later: by then the node serves. */
function final(error: OttlaError): OttlaError {
  return error.code === "UNIMPLEMENTED" ? notAvailable(error.message) : error;
}

function notAvailable(reason: string): OttlaError {
  return new OttlaError("COORDINATOR_NOT_AVAILABLE", reason);
}
