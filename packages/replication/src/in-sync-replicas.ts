import { type Mutants, NO_MUTANTS } from "./mutants.ts";
import type { NodeIdentity, PartitionTerm } from "./partition-term.ts";

/** A leader's request to the coordinator to change the ISR by compare-and-swap on the partition epoch. */
export interface IsrProposal {
  /** Of this leader's term: pairs the outcome with the proposal. */
  readonly proposalId: number;
  readonly leaderEpoch: number;
  /** The partition epoch that the change is to replace; another one refuses it. */
  readonly partitionEpoch: number;
  readonly isr: readonly number[];
  /** New members, as registered when they caught up: the coordinator refuses others than it knows (R7). */
  readonly added: readonly NodeIdentity[];
  /**
   * Leaving members that lost records below the high watermark: they must not become eligible replicas (R12).
   */
  readonly lostRecords: readonly number[];
}

export type IsrOutcome =
  | { readonly kind: "accepted"; readonly partitionEpoch: number }
  | { readonly kind: "refused"; readonly reason: IsrRefusal }
  /** No answer, or one that does not tell: it may have been committed, or may still be. */
  | { readonly kind: "unknown" };

export type IsrRefusal =
  /** The partition's state has changed since; the metadata will tell. */
  | "stale-partition-epoch"
  /** A member that was to be added is fenced, or has registered again (R7). */
  | "ineligible-replica"
  /** There is a newer leader epoch (R2). */
  | "fenced-leader-epoch";

export interface InSyncReplicasOptions {
  readonly term: PartitionTerm;
  /** How long to wait before proposing again after a refusal or an unknown outcome. */
  readonly retryBackoffMs: number;
  readonly mutants?: Mutants;
}

/**
 * The ISR in one leader's term: what is committed, and what may be committed without the leader
 * knowing (R4). A proposal counts from when it is sent: its new members at once, those that it
 * removes until the removal is known to be committed. An attempt that was not accepted stops
 * counting when the partition epoch is seen to have moved, since it compares with the old one.
 */
export class InSyncReplicas {
  readonly #options: InSyncReplicasOptions;
  readonly #mutants: Mutants;
  #term: PartitionTerm;
  #attempt: IsrProposal | undefined;
  /**
   * Members of attempts of the present partition epoch that may be committed still;
   * undefined when there are none.
   */
  #unknown: Set<number> | undefined;
  #maximal: ReadonlySet<number>;
  #lastProposalId = 0;
  #awaitsMetadata = false;
  #retryAtMs = 0;

  constructor(options: InSyncReplicasOptions) {
    this.#options = options;
    this.#mutants = options.mutants ?? NO_MUTANTS;
    this.#term = options.term;
    this.#maximal = new Set(options.term.isr);
  }

  get term(): PartitionTerm {
    return this.#term;
  }

  /** What the coordinator was asked and has not answered. */
  get attempt(): IsrProposal | undefined {
    return this.#attempt;
  }

  get committed(): readonly number[] {
    return this.#term.isr;
  }

  /**
   * The committed ISR and all that may have joined it: who must have a record before it counts as replicated.
   */
  get maximal(): ReadonlySet<number> {
    return this.#maximal;
  }

  /** Some earlier attempt may be committed, or may still be. */
  get hasUnknownOutcome(): boolean {
    return this.#unknown !== undefined;
  }

  mayPropose(nowMs: number): boolean {
    return this.#attempt === undefined && !this.#awaitsMetadata && nowMs >= this.#retryAtMs;
  }

  /** A newer state of the partition in the same leader epoch: it settles all attempts made before. */
  adopt(term: PartitionTerm): void {
    if (term.partitionEpoch <= this.#term.partitionEpoch) return;
    this.#term = term;
    this.#attempt = undefined;
    this.#unknown = undefined;
    this.#awaitsMetadata = false;
    this.#retryAtMs = 0;
    this.#refreshMaximal();
  }

  propose(change: Pick<IsrProposal, "isr" | "added" | "lostRecords">): IsrProposal {
    this.#lastProposalId += 1;
    const { leaderEpoch, partitionEpoch } = this.#term;
    this.#attempt = { ...change, leaderEpoch, partitionEpoch, proposalId: this.#lastProposalId };
    this.#refreshMaximal();
    return this.#attempt;
  }

  /** Returns false when the outcome is of no proposal that is under way any more. */
  settle(proposalId: number, outcome: IsrOutcome, nowMs: number): boolean {
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.proposalId !== proposalId) return false;
    if (outcome.kind === "accepted") {
      // The compare-and-swap was on the state that this leader knows: nothing but the ISR differs.
      const { partitionEpoch } = outcome;
      this.adopt({ ...this.#term, isr: attempt.isr, partitionEpoch });
      return true;
    }
    this.#attempt = undefined;
    this.#retryAtMs = nowMs + this.#options.retryBackoffMs;
    // Not even a refusal proves that nothing was committed: the request may have come twice, and
    // the other copy may be the one that moved the partition epoch, or may be on its way still.
    if (!this.#mutants.has("unknown-outcome-forgotten")) {
      this.#unknown = new Set([...(this.#unknown ?? []), ...attempt.isr]);
    }
    if (outcome.kind === "refused") this.#awaitsMetadata = outcome.reason === "stale-partition-epoch";
    this.#refreshMaximal();
    return true;
  }

  #refreshMaximal(): void {
    const joining = [...(this.#attempt?.isr ?? []), ...(this.#unknown ?? [])];
    const attempt = this.#attempt;
    if (attempt !== undefined && this.#mutants.has("isr-counted-after-shrink")) {
      this.#maximal = new Set(attempt.isr);
    } else if (this.#mutants.has("joining-replica-not-counted")) {
      this.#maximal = new Set(this.#term.isr);
    } else {
      this.#maximal = new Set([...this.#term.isr, ...joining]);
    }
  }
}
