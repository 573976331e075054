import { toOttlaError } from "@ottla/errors";
import type { JoinGroupResponse } from "@ottla/proto/ottla/internal/v1/groups";
import { type MemberOptions, type MemberPlace, MemberWork } from "./member-work.ts";

const SESSION_TIMEOUT_MS = 4_000;
const REBALANCE_TIMEOUT_MS = 4_000;
const CALL_TIMEOUT_MS = 2_500;
const BEAT_MS = 800;
const RETRY_MS = 200;
const COMMIT_SHARE = 0.5;
/** The server knows nothing of what it shares out: members agree on that among themselves. */
const PROTOCOL_TYPE = "simulated";
const PROTOCOL = "round robin";

/** A member that speaks the classic protocol and gives all up at each rebalance, as Kafka's clients do. */
export class ClassicProtocolMember {
  readonly #options: MemberOptions;
  readonly #work: MemberWork;
  readonly #stopping = new AbortController();
  #memberId = "";
  /** -1 while it is in none. */
  #generation = -1;
  /** How many partitions it has shared out in this generation; undefined when it is not the leader. */
  #sharedCount: number | undefined;
  #nextBeatMs = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#work = new MemberWork(options);
  }

  /** Reads on until it is told to stop; then it leaves. */
  async run(): Promise<void> {
    const { clock } = this.#options.around.process;
    while (!this.#stopping.signal.aborted) {
      try {
        // Who was stopped may commit before it hears that it is out.
        if (this.#options.random.float() < COMMIT_SHARE) await this.#commit();
        if (this.#generation < 0) await this.#join();
        else if (clock.monotonic() >= this.#nextBeatMs) await this.#beat();
        await this.#work.readOn();
      } catch (thrown) {
        this.#trouble(thrown);
      }
      await clock.sleep(this.#options.random.float() * RETRY_MS);
    }
    await this.#leave();
    await this.#work.close();
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #join(): Promise<void> {
    const { group, history, name, around } = this.#options;
    const request = {
      groupId: group,
      memberId: this.#memberId,
      client: { clientId: name, clientHost: "/member" },
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
      rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS,
      protocolType: PROTOCOL_TYPE,
      protocols: [{ name: PROTOCOL, metadata: new Uint8Array(0) }],
      requiresKnownMemberId: true,
    };
    const timeoutMs = REBALANCE_TIMEOUT_MS + CALL_TIMEOUT_MS;
    const joined = await this.#work.groups.call(group, (owner) => owner.joinGroup(request, { timeoutMs }));
    this.#memberId = joined.memberId;
    const { generation } = joined;
    const isLeader = joined.leaderId === joined.memberId;
    const places = isLeader ? this.#allPlaces() : [];
    this.#sharedCount = isLeader ? places.length : undefined;
    const assignments = isLeader ? share(joined, places) : [];
    const { assignment } = await this.#work.groups.call(group, (owner) =>
      owner.syncGroup({ groupId: group, memberId: this.#memberId, generation, assignments }, { timeoutMs }),
    );
    this.#generation = generation;
    this.#nextBeatMs = around.process.clock.monotonic() + BEAT_MS;
    const own = decodePlaces(assignment);
    history.operated();
    history.gotInGeneration(group, generation, this.#memberId, { assignment, places: own });
    if (own.length === 0) return;
    try {
      await this.#work.begin(own, undefined);
    } catch (thrown) {
      // It does not know where to begin: it joins again.
      this.#dropAll();
      throw thrown;
    }
  }

  async #beat(): Promise<void> {
    const { group, history, around } = this.#options;
    const request = { groupId: group, memberId: this.#memberId, generation: this.#generation };
    await this.#work.groups.call(group, (owner) => owner.heartbeat(request, { timeoutMs: CALL_TIMEOUT_MS }));
    history.operated();
    this.#nextBeatMs = around.process.clock.monotonic() + BEAT_MS;
    // As clients do: the leader looks for new partitions, and joins again for them.
    if (this.#sharedCount !== undefined && this.#sharedCount !== this.#allPlaces().length) this.#dropAll();
  }

  async #commit(): Promise<void> {
    if (this.#generation < 0) return;
    const error = await this.#work.commit({
      protocol: "classic",
      memberId: this.#memberId,
      generationOrEpoch: this.#generation,
    });
    if (error !== undefined) throw error;
  }

  /** What the group says to any request of its member. */
  #trouble(thrown: unknown): void {
    const error = toOttlaError(thrown);
    switch (error.code) {
      case "MEMBER_ID_REQUIRED":
        this.#memberId = error.metadata["member_id"] ?? "";
        return;
      case "REBALANCE_IN_PROGRESS":
      case "ILLEGAL_GENERATION":
        this.#dropAll();
        return;
      case "UNKNOWN_MEMBER_ID":
        this.#memberId = "";
        this.#dropAll();
        return;
      default:
        if (!error.retriable) throw error;
    }
  }

  #dropAll(): void {
    this.#generation = -1;
    this.#work.drop(this.#work.places);
  }

  async #leave(): Promise<void> {
    const { group } = this.#options;
    if (this.#memberId === "") return;
    await this.#commit().catch(() => undefined);
    const request = { groupId: group, members: [{ memberId: this.#memberId }] };
    await this.#work.groups
      .call(group, (owner) => owner.leaveGroup(request, { timeoutMs: CALL_TIMEOUT_MS }))
      .catch(() => undefined);
  }

  /** What the leader has to share out, as its node knows it now. */
  #allPlaces(): MemberPlace[] {
    const { topics, around } = this.#options;
    return topics.flatMap((topic): MemberPlace[] => {
      const known = around.view.topicByName(topic);
      if (known === undefined) return [];
      const { topicId, partitionCount } = known;
      return Array.from({ length: partitionCount }, (_, partition) => ({ topicId, topic, partition }));
    });
  }
}

/** The leader's part: each partition to one of those who have joined. */
function share({ members }: JoinGroupResponse, places: readonly MemberPlace[]) {
  return members.map(({ memberId }, index) => ({
    memberId,
    assignment: encodePlaces(places.filter((_, number) => number % members.length === index)),
  }));
}

function encodePlaces(places: readonly MemberPlace[]): Uint8Array {
  return Buffer.from(JSON.stringify(places));
}

function decodePlaces(assignment: Uint8Array): MemberPlace[] {
  return assignment.length === 0 ? [] : JSON.parse(Buffer.from(assignment).toString());
}
