import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Deadline, Deadlines, Logger } from "@ottla/runtime";
import type { GroupJournal } from "../group-journal.ts";
import type { GroupLimits } from "../group-limits.ts";
import type { MemberBudget } from "../member-budget.ts";
import type { GroupMutants } from "../mutants.ts";
import { Session } from "../session.ts";
import { fencedInstance, rebalanceInProgress, unknownMember } from "./classic-errors.ts";
import type { ClassicGroup } from "./classic-group.ts";
import type { ClassicMember, JoinOutcome, SyncOutcome } from "./classic-member.ts";

export interface ClassicRebalanceOptions {
  readonly group: ClassicGroup;
  readonly journal: GroupJournal;
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly limits: GroupLimits;
  readonly budget: MemberBudget;
  readonly logger: Logger;
  readonly mutants: GroupMutants;
}

/** How long a member that has just joined is waited for, whatever its session timeout is: Kafka's number. */
const NEW_MEMBER_TIMEOUT_MS = 300_000;
const NO_BYTES = new Uint8Array(0);

/**
 * A classic group in time: who has to be waited for and how long, when the next generation begins, who has
 * fallen silent. At most one deadline for the group beside one for each member.
 */
export class ClassicRebalance {
  readonly group: ClassicGroup;
  readonly #options: ClassicRebalanceOptions;
  readonly #pendingDeadlines = new Map<string, Deadline>();
  /** Ends the wait for members to join, or to fetch their assignments. */
  #deadline: Deadline | undefined;
  /** The generation whose assignments are on their way to the log. */
  #storing: number | undefined;
  /** An empty group's first members are waited for, whoever has joined. */
  #gathering = false;

  constructor(options: ClassicRebalanceOptions) {
    this.#options = options;
    this.group = options.group;
    this.group.bytes.countIn(options.budget);
    // Members read from the log have as long as a session from now on.
    for (const member of this.group.members()) this.#beginSession(member, member.sessionTimeoutMs);
  }

  /** Shares out anew when it may: not while that is under way already. */
  prepareIfPossible(reason: string): void {
    const { state } = this.group;
    if (state === "Stable" || state === "CompletingRebalance" || state === "Empty") this.#prepare(reason);
  }

  /** Begins the next generation if all that may join have. */
  completeIfAllJoined(): void {
    if (this.group.state !== "PreparingRebalance" || this.#gathering) return;
    if (this.group.hasAllJoined) this.#complete();
  }

  /** A member that may join with that id for a session's time. */
  addPending(memberId: string, timeoutMs: number): void {
    this.group.addPending(memberId);
    const forget = (): void => {
      this.#pendingDeadlines.delete(memberId);
      this.removePending(memberId);
    };
    this.#pendingDeadlines.set(memberId, this.#options.deadlines.set(timeoutMs, forget));
  }

  removePending(memberId: string): void {
    this.#cancelPending(memberId);
    if (this.group.removePending(memberId)) this.completeIfAllJoined();
  }

  /** Adds a member, which then waits for the next generation. */
  addMember(member: ClassicMember, protocolType: string): Promise<JoinOutcome> {
    const { group } = this;
    member.isNew = true;
    if (group.state === "PreparingRebalance" && group.generation === 0) group.newMemberAdded = true;
    this.#cancelPending(member.memberId);
    group.add(member, protocolType);
    this.#beginSession(member, NEW_MEMBER_TIMEOUT_MS);
    const joined = member.waitForGeneration();
    this.prepareIfPossible(`member ${member.memberId} joins`);
    this.completeIfAllJoined();
    return joined;
  }

  /** Puts a static member that came back in the place of the one that it was. */
  replaceMember(old: ClassicMember, replacement: ClassicMember): void {
    const { instanceId = "" } = old;
    old.end(fencedInstance(instanceId));
    replacement.assignment = old.assignment;
    this.group.replaceStatic(old.memberId, replacement);
    this.#beginSession(replacement, replacement.sessionTimeoutMs);
  }

  removeMember(member: ClassicMember, reason: string): void {
    const { group } = this;
    member.end(unknownMember(member.memberId));
    group.remove(member.memberId);
    this.prepareIfPossible(reason);
    this.completeIfAllJoined();
  }

  /** The leader's assignments: in force, and given out, when they are durable. */
  async storeAssignments(assignments: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const { group } = this;
    const { generation } = group;
    // The leader lost the answer and brings them again, others perhaps: members get what the log will have.
    if (this.#storing === generation) return;
    this.#storing = generation;
    const complete = new Map(
      group
        .members()
        .map(({ memberId }) => [memberId, Uint8Array.from(assignments.get(memberId) ?? NO_BYTES)] as const),
    );
    const isStillAsked = (): boolean =>
      group.state === "CompletingRebalance" && group.generation === generation;
    const { budget, journal, mutants } = this.#options;
    try {
      budget.requireRoom(growthBy(complete, group), "member");
      const stored = journal.append([group.record(complete)]);
      if (mutants.has("assignment-answered-early")) stored.catch(() => undefined);
      else await stored;
    } catch (thrown) {
      if (!isStillAsked()) return;
      this.#failSyncs(toOttlaError(thrown));
      this.prepareIfPossible("the assignment could not be stored");
      return;
    }
    if (!isStillAsked()) return;
    group.moveTo("Stable", this.#options.clock.now());
    for (const member of group.members()) {
      group.setAssignment(member, complete.get(member.memberId) ?? NO_BYTES);
      if (!member.isSyncing) continue;
      member.session?.heard();
      member.answerSync(this.assignmentOf(member));
    }
  }

  assignmentOf({ assignment }: ClassicMember): SyncOutcome {
    const { protocolType = "", protocolName = "" } = this.group;
    return { protocolType, protocolName, assignment };
  }

  /** A member has asked for its assignment: nobody has to wait for it any more. */
  synced(member: ClassicMember): void {
    const { group } = this;
    group.pendingSync.delete(member.memberId);
    if (group.pendingSync.size === 0 && group.state !== "PreparingRebalance") this.#deadline?.cancel();
  }

  /** What a member learns of the present generation. */
  outcomeFor(member: ClassicMember): JoinOutcome {
    const { generation, protocolType = "", protocolName, leaderId = "" } = this.group;
    const isLeader = member.memberId === leaderId;
    return {
      memberId: member.memberId,
      generation,
      protocolType,
      protocolName,
      leaderId,
      skipAssignment: false,
      members: isLeader ? this.group.joinedMembers() : [],
    };
  }

  /** Ends all waiting: the group is gone, or another node owns it. */
  close(reason: OttlaError): void {
    this.#deadline?.cancel();
    for (const deadline of this.#pendingDeadlines.values()) deadline.cancel();
    this.#pendingDeadlines.clear();
    for (const member of this.group.members()) member.end(reason);
    this.group.bytes.end();
    this.group.moveTo("Dead", this.#options.clock.now());
  }

  #prepare(reason: string): void {
    const { group } = this;
    const { clock, logger, limits, deadlines } = this.#options;
    if (group.state === "CompletingRebalance") this.#failSyncs(rebalanceInProgress());
    this.#deadline?.cancel();
    const timeoutMs = group.rebalanceTimeoutMs;
    const gathers = group.state === "Empty" && limits.initialRebalanceDelayMs > 0;
    group.moveTo("PreparingRebalance", clock.now());
    logger.debug({ groupId: group.groupId, generation: group.generation, reason }, "a group rebalances");
    if (gathers) {
      const delayMs = limits.initialRebalanceDelayMs;
      this.#gather(delayMs, Math.max(0, timeoutMs - delayMs));
      return;
    }
    this.#deadline = deadlines.set(timeoutMs, () => this.#complete());
    this.completeIfAllJoined();
  }

  /** Waits a little for more members, and again as long as more come, within the rebalance timeout. */
  #gather(delayMs: number, leftMs: number): void {
    const { limits, deadlines } = this.#options;
    this.#gathering = true;
    this.#deadline = deadlines.set(delayMs, () => {
      if (!this.group.newMemberAdded || leftMs === 0) {
        this.#gathering = false;
        this.#complete();
        return;
      }
      this.group.newMemberAdded = false;
      const nextMs = Math.min(limits.initialRebalanceDelayMs, leftMs);
      this.#gather(nextMs, leftMs - nextMs);
    });
  }

  /** Begins the next generation with those who have joined; the others are out, unless they are static. */
  #complete(): void {
    const { group } = this;
    const { clock, deadlines, journal } = this.#options;
    this.#deadline?.cancel();
    for (const member of group.members()) {
      if (member.isJoining || member.instanceId !== undefined) continue;
      member.end(unknownMember(member.memberId));
      group.remove(member.memberId);
    }
    if (!group.electJoinedLeader() && !group.isEmpty) {
      this.#deadline = deadlines.set(group.rebalanceTimeoutMs, () => this.#complete());
      return;
    }
    group.beginGeneration(clock.now());
    group.newMemberAdded = false;
    if (group.isEmpty) {
      // A failure concerns the whole partition, which then reads its groups anew.
      journal.append([group.record()]).catch(() => undefined);
      return;
    }
    this.#announceGeneration();
  }

  #announceGeneration(): void {
    const { group } = this;
    for (const member of group.members()) {
      group.pendingSync.add(member.memberId);
      if (!member.isJoining) continue;
      member.isNew = false;
      member.session?.restart(member.sessionTimeoutMs);
      member.answerJoin(this.outcomeFor(member));
    }
    const { generation } = group;
    this.#deadline = this.#options.deadlines.set(group.rebalanceTimeoutMs, () =>
      this.#dropUnsynced(generation),
    );
  }

  /** Members that joined and never asked for their assignment hold up everybody: they are out. */
  #dropUnsynced(generation: number): void {
    const { group } = this;
    const isPresent = group.state === "CompletingRebalance" || group.state === "Stable";
    if (!isPresent || group.generation !== generation || group.pendingSync.size === 0) return;
    for (const memberId of group.pendingSync) {
      const member = group.member(memberId);
      member?.end(unknownMember(memberId));
      group.remove(memberId);
    }
    this.prepareIfPossible("members did not ask for their assignments");
    this.completeIfAllJoined();
  }

  #failSyncs(error: OttlaError): void {
    for (const member of this.group.members()) {
      this.group.setAssignment(member, NO_BYTES);
      if (!member.isSyncing) continue;
      member.session?.heard();
      member.failSync(error);
    }
  }

  #beginSession(member: ClassicMember, timeoutMs: number): void {
    const { clock, deadlines } = this.#options;
    const onSilence = (): boolean => {
      // Who waits for an answer cannot be heard meanwhile; one that never was in a
      // generation has waited enough.
      if (!member.isNew && (member.isJoining || member.isSyncing)) return false;
      this.removeMember(member, `member ${member.memberId} fell silent`);
      return true;
    };
    member.session?.end();
    member.session = new Session({ clock, deadlines, timeoutMs, onSilence });
  }

  #cancelPending(memberId: string): void {
    this.#pendingDeadlines.get(memberId)?.cancel();
    this.#pendingDeadlines.delete(memberId);
  }
}

/** How much larger the assignments are than those of before. */
function growthBy(assignments: ReadonlyMap<string, Uint8Array>, group: ClassicGroup): number {
  let bytes = 0;
  for (const assignment of assignments.values()) bytes += assignment.byteLength;
  for (const { assignment } of group.members()) bytes -= assignment.byteLength;
  return bytes;
}
