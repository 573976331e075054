import type { ModelPartition } from "./model-coordinator.ts";
import type { ModelLog, ModelRecord } from "./model-log.ts";
import type { ModelNode } from "./model-node.ts";

/** A rule that does not hold. */
export class RuleBroken extends Error {
  override readonly name = "RuleBroken";
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

export interface ModelWaiter {
  readonly leaderEpoch: number;
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly values: readonly number[];
}

/**
 * What must hold in every state of the model. `committed` is all that any leader has ever
 * shown as below its high watermark: it grows and never changes, whatever happens to nodes.
 */
export class ModelChecks {
  readonly committed: ModelRecord[] = [];
  readonly #leaderOfEpoch = new Map<number, string>();
  readonly #latestOfEpoch = new Map<number, number>();
  readonly #highWatermarkOfTerm = new Map<string, number>();
  /** Records below are deleted: somebody was told so. */
  #deletedTo = 0;
  acknowledged = 0;

  highWatermarkAdvanced(node: ModelNode, leaderEpoch: number, highWatermark: number): void {
    this.#onlyLeader(node, leaderEpoch);
    const term = `${leaderEpoch}`;
    const before = this.#highWatermarkOfTerm.get(term) ?? 0;
    if (highWatermark < before)
      broken("R4", `high watermark of epoch ${term} went from ${before} to ${highWatermark}`);
    this.#highWatermarkOfTerm.set(term, highWatermark);
    for (let offset = Math.max(before, node.log.logStartOffset); offset < highWatermark; offset += 1) {
      const record = node.log.at(offset);
      if (record === undefined)
        broken("R4", `node ${node.nodeId} has no record ${offset} below its high watermark`);
      const known = this.committed[offset];
      if (known === undefined && offset === this.committed.length) this.committed.push(record);
      else if (known === undefined)
        broken("R4", `offset ${offset} was committed before those in front of it`);
      else if (!isSame(known, record)) {
        broken(
          "R4",
          `offset ${offset} was ${show(known)} to readers and is ${show(record)} in epoch ${leaderEpoch}`,
        );
      }
    }
  }

  acknowledge(node: ModelNode, waiter: ModelWaiter): void {
    this.#onlyLeader(node, waiter.leaderEpoch);
    this.acknowledged += 1;
    for (const [index, value] of waiter.values.entries()) {
      const offset = waiter.baseOffset + index;
      const known = this.committed[offset];
      if (known?.value === value) continue;
      broken("R15", `value ${value} was acknowledged at offset ${offset}, which holds ${show(known)}`);
    }
  }

  weakAcknowledge(node: ModelNode): void {
    if (!node.hasLease) broken("R10", `node ${node.nodeId} took a weak append without a lease`);
  }

  isrProposed(node: ModelNode): void {
    if (!node.hasLease) broken("R10", `node ${node.nodeId} proposed an ISR without a lease`);
  }

  /**
   * Who is in sync or eligible never gives up a committed record. Others may, when they
   * hear late of the term that committed it.
   */
  truncated(node: ModelNode, offset: number, partition: ModelPartition): void {
    const { log, nodeId } = node;
    if (node.isExcused || !holdersOf(partition).includes(nodeId)) return;
    for (let gone = Math.max(offset, log.logStartOffset); gone < log.logEndOffset; gone += 1) {
      const known = this.committed[gone];
      if (known !== undefined && isSame(known, log.at(gone))) {
        broken("R6", `node ${nodeId} truncates to ${offset} and so loses committed record ${gone}`);
      }
    }
  }

  /** R14: `DeleteRecords` is answered now; whoever may lead from now on must have heard of it. */
  lowWatermarkAdvanced(logStartOffset: number): void {
    this.#deletedTo = Math.max(this.#deletedTo, logStartOffset);
  }

  /** After every step. */
  state(partition: ModelPartition, nodes: readonly ModelNode[]): void {
    const holders = holdersOf(partition);
    for (const node of nodes) {
      if (holders.includes(node.nodeId) && !node.isExcused) this.#holdsCommitted(node);
      if (node.replica !== undefined) this.#roleHolds(node, node.replica.highWatermark);
    }
    if (holders.length === 0) broken("R8", "nobody is fit to lead");
  }

  #holdsCommitted(node: ModelNode): void {
    const { log, nodeId } = node;
    const end = this.committed.length;
    if (log.syncedEndOffset < end) {
      broken("R4", `node ${nodeId} is in sync or eligible and has synced ${log.syncedEndOffset} of ${end}`);
    }
    this.#agrees(log, nodeId, end);
    if (log.logStartOffset < this.#deletedTo) {
      const begins = `begins at ${log.logStartOffset}, not ${this.#deletedTo}`;
      broken("R14", `node ${nodeId} is in sync or eligible and ${begins}`);
    }
  }

  #roleHolds(node: ModelNode, highWatermark: number): void {
    const { log, nodeId, replica } = node;
    if (highWatermark > this.committed.length) {
      broken(
        "R5",
        `node ${nodeId} shows offsets below ${highWatermark}, committed are ${this.committed.length}`,
      );
    }
    // A follower shows what is below its own high watermark to readers, too.
    if (!node.isExcused) this.#agrees(log, nodeId, Math.min(highWatermark, log.logEndOffset));
    const leader = replica?.role.kind === "leader" ? replica.role.leader : undefined;
    const epoch = leader?.leaderEpoch ?? -1;
    for (const waiter of node.waiters) {
      if (waiter.leaderEpoch !== epoch)
        broken("R15", `a reply of epoch ${waiter.leaderEpoch} waits in ${epoch}`);
    }
    const latest = leader?.latestOffset();
    if (leader === undefined || latest === undefined) return;
    this.#onlyLeader(node, epoch);
    for (const [other, told] of this.#latestOfEpoch) {
      if (other > epoch || told <= latest) continue;
      broken("R5", `"latest" was ${told} in epoch ${other} and is ${latest} in ${epoch}`);
    }
    this.#latestOfEpoch.set(epoch, latest);
  }

  #agrees(log: ModelLog, nodeId: number, endOffset: number): void {
    for (let offset = log.logStartOffset; offset < endOffset; offset += 1) {
      const known = this.committed[offset];
      if (known !== undefined && isSame(known, log.at(offset))) continue;
      broken("R6", `node ${nodeId} has ${show(log.at(offset))} at ${offset}, committed is ${show(known)}`);
    }
  }

  #onlyLeader(node: ModelNode, leaderEpoch: number): void {
    const name = `node ${node.nodeId}, run ${node.run}`;
    const known = this.#leaderOfEpoch.get(leaderEpoch) ?? name;
    if (known !== name) broken("R2", `epoch ${leaderEpoch} is led by ${known} and by ${name}`);
    this.#leaderOfEpoch.set(leaderEpoch, name);
  }
}

function holdersOf(partition: ModelPartition): readonly number[] {
  return [...partition.isr, ...partition.eligibleReplicas];
}

function isSame(a: ModelRecord, b: ModelRecord | undefined): boolean {
  return b !== undefined && a.epoch === b.epoch && a.value === b.value;
}

function show(record: ModelRecord | undefined): string {
  return record === undefined ? "nothing" : `value ${record.value} of epoch ${record.epoch}`;
}

function broken(rule: string, message: string): never {
  throw new RuleBroken(rule, message);
}
