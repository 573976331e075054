import { toOttlaError } from "@ottla/errors";
import type { ConsumerHeartbeatResponse } from "@ottla/proto/ottla/internal/v1/groups";
import { keyOf, type MemberOptions, type MemberPlace, MemberWork } from "./member-work.ts";

const REBALANCE_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 2_500;
const RETRY_MS = 200;
const MOST_WORK_MS = 1_000;
const COMMIT_SHARE = 0.5;
const JOIN_EPOCH = 0;
const LEAVE_EPOCH = -1;

/** A member that speaks the protocol of KIP-848, as Kafka's own client does: one thing after another. */
export class ConsumerProtocolMember {
  readonly #options: MemberOptions;
  readonly #work: MemberWork;
  readonly #memberId: string;
  readonly #stopping = new AbortController();
  #epoch = JOIN_EPOCH;
  /** Everything is said: it has joined anew, or does not know what the group has heard. */
  #saysAll = true;
  /** Given up, and not said yet. */
  #saysOwned = false;
  #nextBeatMs = 0;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#work = new MemberWork(options);
    this.#memberId = options.random.uuid();
  }

  /** Reads on until it is told to stop; then it leaves. */
  async run(): Promise<void> {
    const { clock } = this.#options.around.process;
    while (!this.#stopping.signal.aborted) {
      // Who was stopped may commit before it hears that it is out.
      if (this.#options.random.float() < COMMIT_SHARE) await this.#commit();
      if (clock.monotonic() >= this.#nextBeatMs) await this.#beat();
      await this.#work.readOn();
      await clock.sleep(this.#options.random.float() * RETRY_MS);
    }
    await this.#leave();
    await this.#work.close();
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #beat(): Promise<void> {
    const { history, group, around } = this.#options;
    const { clock } = around.process;
    try {
      const answer = await this.#say();
      this.#saysAll = false;
      this.#saysOwned = false;
      this.#epoch = answer.memberEpoch;
      this.#nextBeatMs = clock.monotonic() + answer.heartbeatIntervalMs;
      history.operated();
      if (answer.assignment !== undefined) await this.#take(answer.assignment.topics);
    } catch (thrown) {
      const error = toOttlaError(thrown);
      this.#saysAll = true;
      this.#nextBeatMs = clock.monotonic() + RETRY_MS;
      if (error.code === "FENCED_MEMBER_EPOCH" || error.code === "UNKNOWN_MEMBER_ID") {
        // What it had may be others' by now.
        history.gaveUp(group, this.#memberId, this.#work.places);
        this.#work.drop(this.#work.places);
        this.#epoch = JOIN_EPOCH;
      } else if (!error.retriable) throw error;
    }
  }

  #say(): Promise<ConsumerHeartbeatResponse> {
    const { group, name, topics } = this.#options;
    const joins = this.#epoch === JOIN_EPOCH;
    const all = this.#saysAll || joins;
    const request = {
      groupId: group,
      memberId: this.#memberId,
      memberEpoch: this.#epoch,
      client: { clientId: name, clientHost: "/member" },
      rebalanceTimeoutMs: all ? REBALANCE_TIMEOUT_MS : -1,
      ...(all && { subscribedTopics: { names: [...topics] } }),
      ...((all || this.#saysOwned) && { owned: { topics: joins ? [] : this.#owned() } }),
    };
    return this.#work.groups.call(group, (owner) =>
      owner.consumerHeartbeat(request, { timeoutMs: CALL_TIMEOUT_MS }),
    );
  }

  async #take(topics: readonly { readonly topicId: string; readonly partitions: readonly number[] }[]) {
    const { group, history, around } = this.#options;
    const wanted = new Map<string, MemberPlace>();
    for (const { topicId, partitions } of topics) {
      const topic = around.view.topicById(topicId)?.name;
      if (topic === undefined) continue;
      for (const partition of partitions)
        wanted.set(keyOf({ topic, partition }), { topicId, topic, partition });
    }
    const revoked = this.#work.places.filter((place) => !wanted.has(keyOf(place)));
    if (revoked.length > 0) {
      // The work in hand takes its time.
      await around.process.clock.sleep(this.#options.random.float() * MOST_WORK_MS);
      await this.#commit();
      history.gaveUp(group, this.#memberId, revoked);
      this.#work.drop(revoked);
      this.#saysOwned = true;
      this.#nextBeatMs = 0;
    }
    const added = [...wanted.values()].filter((place) => !this.#work.has(place));
    if (added.length === 0) return;
    history.got(group, this.#memberId, added);
    this.#saysOwned = true;
    this.#nextBeatMs = 0;
    try {
      await this.#work.begin(added, { memberId: this.#memberId, memberEpoch: this.#epoch });
    } catch (thrown) {
      // It has them not, and says so; the group may give them to others before it has them again.
      const missed = added.filter((place) => !this.#work.has(place));
      history.gaveUp(group, this.#memberId, missed);
      throw thrown;
    }
  }

  /** What cannot be stored now is committed with what comes later, in the epoch of then. */
  async #commit(): Promise<void> {
    await this.#work.commit({
      protocol: "consumer",
      memberId: this.#memberId,
      generationOrEpoch: this.#epoch,
    });
  }

  async #leave(): Promise<void> {
    const { group, history } = this.#options;
    if (this.#epoch === JOIN_EPOCH) return;
    await this.#commit();
    history.gaveUp(group, this.#memberId, this.#work.places);
    this.#work.drop(this.#work.places);
    const request = {
      groupId: group,
      memberId: this.#memberId,
      memberEpoch: LEAVE_EPOCH,
      rebalanceTimeoutMs: -1,
    };
    await this.#work.groups
      .call(group, (owner) => owner.consumerHeartbeat(request, { timeoutMs: CALL_TIMEOUT_MS }))
      .catch(() => undefined);
  }

  #owned() {
    const topics = new Map<string, number[]>();
    for (const { topicId, partition } of this.#work.places) {
      topics.set(topicId, [...(topics.get(topicId) ?? []), partition]);
    }
    return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
  }
}
