import type { DiskErrorCode } from "./disk.ts";
import type { Random } from "./random.ts";

export type DiskOperation =
  | "open"
  | "read"
  | "write"
  | "sync"
  | "truncate"
  | "makeDirectory"
  | "list"
  | "stat"
  | "rename"
  | "remove"
  | "removeDirectory"
  | "syncDirectory"
  | "space"
  | "lock";

/**
 * Which operations a fault strikes. Without more than `operation`: all of them until the fault is removed.
 */
export interface FaultTarget {
  readonly operation: DiskOperation | "any";
  /** Only paths that match. */
  readonly path?: RegExp;
  /** Lets the first few pass. */
  readonly skip?: number;
  /** Strikes so often, then no more. */
  readonly times?: number;
  /** The chance, from 0 to 1, with which each of them is struck. */
  readonly probability?: number;
}

export interface Fault {
  /** How often it has struck. */
  readonly struck: number;
  remove(): void;
}

export interface Stall extends Fault {
  /** How many operations hang in it now. */
  readonly waiting: number;
  /** Lets the hanging operations go on and strikes no more. */
  release(): void;
}

/** How often each fault struck, since the disk was made. */
export interface FaultCounts {
  crashes: number;
  writesKept: number;
  writesLost: number;
  writesTorn: number;
  directoryOperationsKept: number;
  directoryOperationsLost: number;
  opensFailed: number;
  readsFailed: number;
  writesFailed: number;
  syncsFailed: number;
  othersFailed: number;
  diskFull: number;
  stalled: number;
  slowed: number;
  readsCorrupted: number;
  bitsFlipped: number;
}

const FAILURE_COUNTS: Partial<Record<DiskOperation, keyof FaultCounts>> = {
  open: "opensFailed",
  read: "readsFailed",
  write: "writesFailed",
  sync: "syncsFailed",
  syncDirectory: "syncsFailed",
};

type Effect =
  | { readonly kind: "fail"; readonly code: DiskErrorCode }
  | { readonly kind: "slow"; readonly minimumMs: number; readonly maximumMs: number }
  | { readonly kind: "stall"; readonly resume: Set<() => void> }
  | { readonly kind: "corrupt" };

interface Rule extends Fault {
  readonly target: FaultTarget;
  readonly effect: Effect;
  passed: number;
  struck: number;
}

/** What befalls one operation. */
export interface Verdict {
  readonly error: DiskErrorCode | undefined;
  readonly delayMs: number;
  readonly corrupt: boolean;
  /** The operations that hang where this one must wait too; each goes on when its function is called. */
  readonly stall: Set<() => void> | undefined;
}

const UNHARMED: Verdict = { error: undefined, delayMs: 0, corrupt: false, stall: undefined };

/** The ill fate of a memory disk, ordered by tests. */
export class MemoryDiskFaults {
  /** Files may hold so much together; a write beyond fails with ENOSPC, part of it done. */
  capacityBytes: number;
  readonly counts: FaultCounts = {
    crashes: 0,
    writesKept: 0,
    writesLost: 0,
    writesTorn: 0,
    directoryOperationsKept: 0,
    directoryOperationsLost: 0,
    opensFailed: 0,
    readsFailed: 0,
    writesFailed: 0,
    syncsFailed: 0,
    othersFailed: 0,
    diskFull: 0,
    stalled: 0,
    slowed: 0,
    readsCorrupted: 0,
    bitsFlipped: 0,
  };
  readonly #random: Random;
  #rules: Rule[] = [];

  constructor(capacityBytes: number, random: Random) {
    this.capacityBytes = capacityBytes;
    this.#random = random;
  }

  /**
   * The operation ends with an error. A failed write may be done in part; after a failed
   * sync nothing is known.
   */
  fail(target: FaultTarget, code: DiskErrorCode = "EIO"): Fault {
    return this.#add(target, { kind: "fail", code });
  }

  /** The operation takes so long, on the disk's clock. */
  slow(target: FaultTarget, minimumMs: number, maximumMs = minimumMs): Fault {
    return this.#add(target, { kind: "slow", minimumMs, maximumMs });
  }

  /** The operation hangs until released. */
  stall(target: Omit<FaultTarget, "probability">): Stall {
    const resume = new Set<() => void>();
    const rule = this.#add(target, { kind: "stall", resume });
    return {
      get struck() {
        return rule.struck;
      },
      get waiting() {
        return resume.size;
      },
      remove: () => rule.remove(),
      release: () => {
        rule.remove();
        for (const go of resume) go();
      },
    };
  }

  /** Reads return one wrong bit; the file itself stays whole. */
  corruptReads(target: Omit<FaultTarget, "operation">): Fault {
    return this.#add({ ...target, operation: "read" }, { kind: "corrupt" });
  }

  /** Orders no more faults and lets what hangs go on; the capacity stays. */
  clear(): void {
    const rules = this.#rules;
    this.#rules = [];
    for (const { effect } of rules) if (effect.kind === "stall") for (const go of effect.resume) go();
  }

  /** Decides what befalls an operation, and counts it. */
  judge(operation: DiskOperation, path: string): Verdict {
    let verdict = UNHARMED;
    for (const rule of this.#rules.filter((rule) => this.#strikes(rule, operation, path))) {
      verdict = this.#worsen(verdict, rule.effect, operation);
    }
    return verdict;
  }

  #add(target: FaultTarget, effect: Effect): Rule {
    const rule: Rule = {
      target,
      effect,
      passed: 0,
      struck: 0,
      remove: () => {
        this.#rules = this.#rules.filter((other) => other !== rule);
      },
    };
    this.#rules.push(rule);
    return rule;
  }

  #strikes(rule: Rule, operation: DiskOperation, path: string): boolean {
    const { target } = rule;
    if (target.operation !== "any" && target.operation !== operation) return false;
    if (target.path !== undefined && !target.path.test(path)) return false;
    rule.passed += 1;
    if (rule.passed <= (target.skip ?? 0)) return false;
    if (rule.struck >= (target.times ?? Number.POSITIVE_INFINITY)) return false;
    if (target.probability !== undefined && this.#random.float() >= target.probability) return false;
    rule.struck += 1;
    return true;
  }

  #worsen(verdict: Verdict, effect: Effect, operation: DiskOperation): Verdict {
    if (effect.kind === "fail") {
      this.counts[FAILURE_COUNTS[operation] ?? "othersFailed"] += 1;
      return { ...verdict, error: effect.code };
    }
    if (effect.kind === "slow") {
      this.counts.slowed += 1;
      const spreadMs = effect.maximumMs - effect.minimumMs;
      const delayMs = effect.minimumMs + (spreadMs > 0 ? this.#random.float() * spreadMs : 0);
      return { ...verdict, delayMs: verdict.delayMs + delayMs };
    }
    if (effect.kind === "stall") {
      this.counts.stalled += 1;
      return { ...verdict, stall: effect.resume };
    }
    this.counts.readsCorrupted += 1;
    return { ...verdict, corrupt: true };
  }
}
