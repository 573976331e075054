import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError, toOttlaError } from "@ottla/errors";
import type {
  CommitOffsetsRequestSchema,
  CommitOffsetsResponse,
  CommitOutcome,
  GroupCoordinatorService,
} from "@ottla/proto/ottla/internal/v1/groups";
import type { CallOptions, RpcClient } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";
import { fromErrorMessage } from "./retry.ts";

export type CommitInit = MessageInitShape<typeof CommitOffsetsRequestSchema> & { readonly groupId: string };

export interface GroupCommitsOptions {
  readonly client: Pick<RpcClient<typeof GroupCoordinatorService>, "commitOffsets" | "commitOffsetsOfMany">;
  readonly clock: Clock;
  readonly timeoutMs?: number;
}

/** The owner appends one batch at a time to a partition: the second request waits there to be the next. */
const REQUESTS_UNDER_WAY = 2;
const MAX_REQUEST_BYTES = 256 * 1024;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** What a commit takes, and each of its offsets, beside its texts. */
const COMMIT_BYTES = 64;
const OFFSET_BYTES = 64;

interface Waiting {
  readonly commit: CommitInit;
  readonly sizeBytes: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (response: CommitOffsetsResponse) => void;
  readonly reject: (error: OttlaError) => void;
}

interface Lane {
  waiting: Waiting[];
  underWay: number;
  isScheduled: boolean;
}

/**
 * Commits on their way to one group-coordinator. Those of one partition of the groups' topic share an append
 * there; here they share a request, because a call costs more than what is in it. What comes while two
 * requests of a partition are under way is the next one.
 */
export class GroupCommits {
  readonly #options: GroupCommitsOptions;
  readonly #lanes = new Map<number, Lane>();
  #waitingBytes = 0;
  #isClosed = false;
  /** A node of an older version takes commits one by one. */
  #isOneByOne = false;

  constructor(options: GroupCommitsOptions) {
    this.#options = options;
  }

  add(partition: number, commit: CommitInit, signal?: AbortSignal): Promise<CommitOffsetsResponse> {
    if (this.#isClosed) return Promise.reject(notSent());
    const sizeBytes = sizeOf(commit);
    if (this.#waitingBytes > 0 && this.#waitingBytes + sizeBytes > MAX_WAITING_BYTES) {
      const message = `commits of ${MAX_WAITING_BYTES} bytes already wait for the group-coordinator`;
      return Promise.reject(new OttlaError("COORDINATOR_LOAD_IN_PROGRESS", message));
    }
    const lane = this.#laneOf(partition);
    const { promise, resolve, reject } = Promise.withResolvers<CommitOffsetsResponse>();
    lane.waiting.push({ commit, sizeBytes, signal, resolve, reject });
    this.#waitingBytes += sizeBytes;
    this.#schedule(partition, lane);
    return signal === undefined ? promise : untilAborted(promise, reject, signal);
  }

  /** What was not sent can go elsewhere; the connection's end ends what is under way. */
  close(): void {
    this.#isClosed = true;
    for (const { waiting } of this.#lanes.values()) for (const { reject } of waiting) reject(notSent());
    this.#lanes.clear();
    this.#waitingBytes = 0;
  }

  #laneOf(partition: number): Lane {
    const known = this.#lanes.get(partition);
    if (known !== undefined) return known;
    const lane = { waiting: [], underWay: 0, isScheduled: false };
    this.#lanes.set(partition, lane);
    return lane;
  }

  /** In the next turn: what arrives in this one goes with it. */
  #schedule(partition: number, lane: Lane): void {
    if (lane.isScheduled || lane.underWay >= REQUESTS_UNDER_WAY || lane.waiting.length === 0) return;
    lane.isScheduled = true;
    this.#options.clock.nextTurn(() => {
      lane.isScheduled = false;
      if (this.#isClosed) return;
      const group = this.#nextGroup(lane);
      if (group.length > 0) void this.#send(partition, lane, group);
      this.#schedule(partition, lane);
      this.#dropIdle(partition, lane);
    });
  }

  #nextGroup(lane: Lane): Waiting[] {
    const group: Waiting[] = [];
    let groupBytes = 0;
    let taken = 0;
    for (const next of lane.waiting) {
      if (group.length > 0 && groupBytes + next.sizeBytes > MAX_REQUEST_BYTES) break;
      taken += 1;
      this.#waitingBytes -= next.sizeBytes;
      // Nobody waits for it any more, and it has not been sent.
      if (next.signal?.aborted === true) continue;
      groupBytes += next.sizeBytes;
      group.push(next);
    }
    lane.waiting = lane.waiting.slice(taken);
    return group;
  }

  async #send(partition: number, lane: Lane, group: readonly Waiting[]): Promise<void> {
    lane.underWay += 1;
    try {
      await (this.#isOneByOne ? this.#commitOneByOne(group) : this.#commitTogether(group));
    } finally {
      lane.underWay -= 1;
      if (!this.#isClosed) this.#schedule(partition, lane);
      this.#dropIdle(partition, lane);
    }
  }

  #dropIdle(partition: number, lane: Lane): void {
    const isIdle = lane.underWay === 0 && lane.waiting.length === 0;
    if (isIdle && this.#lanes.get(partition) === lane) this.#lanes.delete(partition);
  }

  async #commitTogether(group: readonly Waiting[]): Promise<void> {
    try {
      const commits = group.map(({ commit }) => commit);
      const { outcomes } = await this.#options.client.commitOffsetsOfMany({ commits }, this.#callOptions());
      for (const [index, waiting] of group.entries()) settle(waiting, outcomes[index]);
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (error.code !== "UNIMPLEMENTED") {
        for (const { reject } of group) reject(error);
        return;
      }
      this.#isOneByOne = true;
      await this.#commitOneByOne(group);
    }
  }

  async #commitOneByOne(group: readonly Waiting[]): Promise<void> {
    const commitOne = async ({ commit, resolve, reject }: Waiting): Promise<void> => {
      try {
        resolve(await this.#options.client.commitOffsets(commit, this.#callOptions()));
      } catch (thrown) {
        reject(toOttlaError(thrown));
      }
    };
    await Promise.all(group.map(commitOne));
  }

  #callOptions(): CallOptions {
    const { timeoutMs } = this.#options;
    return timeoutMs === undefined ? {} : { timeoutMs };
  }
}

function settle({ resolve, reject }: Waiting, answer: CommitOutcome | undefined): void {
  if (answer?.outcome.case === "response") resolve(answer.outcome.value);
  else if (answer?.outcome.case === "error") reject(fromErrorMessage(answer.outcome.value));
  else reject(new OttlaError("UNKNOWN_SERVER_ERROR", "the group-coordinator said nothing of a commit"));
}

/** Whoever gave it up does not wait for the others of the request. */
async function untilAborted(
  promise: Promise<CommitOffsetsResponse>,
  reject: (error: OttlaError) => void,
  signal: AbortSignal,
): Promise<CommitOffsetsResponse> {
  const onAbort = (): void => reject(toOttlaError(signal.reason));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function sizeOf({ groupId, memberId = "", offsets = [] }: CommitInit): number {
  let sizeBytes = COMMIT_BYTES + groupId.length + memberId.length;
  for (const { metadata = "", topic = "" } of offsets) {
    sizeBytes += OFFSET_BYTES + topic.length + metadata.length;
  }
  return sizeBytes;
}

function notSent(): OttlaError {
  return new OttlaError("COORDINATOR_NOT_AVAILABLE", "the connection to the group-coordinator was given up");
}
