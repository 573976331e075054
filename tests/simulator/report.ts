import { RuleBroken } from "./rule-broken.ts";
import type { RunReport } from "./run-simulation.ts";

/** What several runs amount to. */
export class Totals {
  readonly #faults = new Map<string, number>();
  readonly #checks = new Map<string, number>();
  #runs = 0;
  #operations = 0;
  #fewestOperations = Number.POSITIVE_INFINITY;
  #fewestFaults = Number.POSITIVE_INFINITY;
  #events = 0;
  #virtualMs = 0;

  add(report: RunReport): void {
    this.#runs += 1;
    this.#operations += report.operations;
    this.#events += report.events;
    this.#virtualMs += report.virtualMs;
    this.#fewestOperations = Math.min(this.#fewestOperations, report.operations);
    this.#fewestFaults = Math.min(this.#fewestFaults, sum(report.faults));
    for (const [name, count] of report.faults) this.#faults.set(name, (this.#faults.get(name) ?? 0) + count);
    for (const [name, count] of report.checks) this.#checks.set(name, (this.#checks.get(name) ?? 0) + count);
  }

  lines(): string[] {
    const minutes = (this.#virtualMs / 60_000).toFixed(1);
    return [
      `faults: ${counts(this.#faults)}`,
      `checks: ${counts(this.#checks)}`,
      `${this.#runs} runs: ${this.#events} events in ${minutes} minutes of virtual time, ` +
        `${this.#operations} operations of clients (at least ${this.#fewestOperations} a run), ` +
        `${sum(this.#faults)} faults (at least ${this.#fewestFaults} a run)`,
    ];
  }
}

export function summaryOf({ digest, events, operations, acknowledged, virtualMs }: RunReport): string {
  const seconds = (virtualMs / 1000).toFixed(1);
  return (
    `${events} events in ${seconds} s of virtual time, ${operations} operations of clients, ` +
    `${acknowledged} acknowledged; digest ${digest.toString(16)}`
  );
}

export function describeFailure(failure: Error, withStack: boolean): string {
  if (failure instanceof RuleBroken && !withStack) return failure.message;
  return failure.stack ?? failure.message;
}

function counts(map: ReadonlyMap<string, number>): string {
  return [...map]
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
}

function sum(map: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const count of map.values()) total += count;
  return total;
}
