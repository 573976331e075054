import type { OttlaError } from "@ottla/errors";
import type { Acks } from "@ottla/proto/ottla/v1/record";
import type { Deadline } from "@ottla/runtime";
import type { AppendStream } from "./append-stream.ts";
import type { LeaderTerm } from "./leader-view.ts";

/** One batch to append, and how. */
export interface AppendOptions {
  readonly topicId: string;
  readonly partition: number;
  readonly batch: Uint8Array;
  readonly acks: Acks;
  readonly timeoutMs: number;
  readonly expectedEndOffset?: number;
  /** Of the owner of a single-writer log (R13): a lower one than the log knows is refused. */
  readonly ownerEpoch?: number;
  /** The batch is the control batch that an owner begins with. */
  readonly beginsOwnership?: boolean;
  /** The caller has checked length, magic and CRC. */
  readonly validated: boolean;
  /** The batch carries a producer id and a sequence, so that the log recognises a second copy of it. */
  readonly idempotent: boolean;
  /** Of the span that the append belongs to. */
  readonly traceparent?: string | undefined;
}

export interface AppendOutcome {
  /** -1 with ACKS_NONE. */
  readonly baseOffset: number;
  /** -1 unless the topic's timestamps are LogAppendTime. */
  readonly logAppendTimeMs: number;
  readonly logStartOffset: number;
}

/** What waits in all pipelines of a router, and how much may. */
export interface HeldBytes {
  bytes: number;
  readonly limit: number;
}

/** An append that has not been answered to its caller. */
export interface PendingAppend {
  readonly options: AppendOptions;
  readonly deadlineMs: number;
  readonly resolve: (outcome: AppendOutcome) => void;
  readonly reject: (error: OttlaError) => void;
  timer: Deadline | undefined;
  state: "new" | "held" | "sent" | "done";
  /** Counts its tries: what still comes of an earlier one is void. */
  attempt: number;
  /** Where it was sent, and in which term. */
  stream: AppendStream | undefined;
  term: LeaderTerm | undefined;
  /** When this try went out to the node; undefined while it waits for credit. */
  sentAtMs: number | undefined;
  /** The outcome of a try is not known: nobody may vouch any more that nothing was stored. */
  perhapsStored: boolean;
  /** The producer's batch before it failed: it does not go again. */
  hasLostPredecessor: boolean;
  /** Since when it has been refused for what may last. */
  refusedSinceMs: number | undefined;
  /** Why it was refused or lost the last time. */
  error: OttlaError | undefined;
}
