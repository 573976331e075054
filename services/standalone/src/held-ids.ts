import type { NodeRole } from "@ottla/metadata";

/** Why this process is not ready although it runs: its node id is held by another, by role. */
export class HeldIds {
  readonly #reasons = new Map<NodeRole, string>();

  note(role: NodeRole, reason: string | undefined): void {
    if (reason === undefined) this.#reasons.delete(role);
    else this.#reasons.set(role, `${role}: ${reason}`);
  }

  notReady(): string | undefined {
    return this.#reasons.size === 0 ? undefined : [...this.#reasons.values()].join("; ");
  }
}
