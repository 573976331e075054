import { OttlaError } from "@ottla/errors";
import type { Session } from "../session.ts";

/** One way of sharing out partitions that a member can do, with what it says about itself for it. */
export interface MemberProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

export interface JoinOutcome {
  readonly memberId: string;
  readonly generation: number;
  readonly protocolType: string;
  readonly protocolName: string | undefined;
  readonly leaderId: string;
  readonly skipAssignment: boolean;
  /** For the leader only. */
  readonly members: readonly JoinedMember[];
}

export interface JoinedMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly metadata: Uint8Array;
}

export interface SyncOutcome {
  readonly protocolType: string;
  readonly protocolName: string;
  readonly assignment: Uint8Array;
}

/** A request of a member that is answered later. */
interface Waiter<T> {
  readonly resolve: (outcome: T) => void;
  readonly reject: (error: OttlaError) => void;
}

export interface ClassicMemberOptions {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocols: readonly MemberProtocol[];
}

const NO_BYTES = new Uint8Array(0);

/** How much a member says about itself. */
export function protocolsBytes(protocols: readonly MemberProtocol[]): number {
  return protocols.reduce((bytes, { name, metadata }) => bytes + name.length + metadata.byteLength, 0);
}

/** A member of a classic group, and the requests of its that wait. */
export class ClassicMember {
  readonly memberId: string;
  readonly instanceId: string | undefined;
  readonly clientId: string;
  readonly clientHost: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  protocols: readonly MemberProtocol[];
  assignment: Uint8Array = NO_BYTES;
  /** Has joined, and was in no generation yet. */
  isNew = false;
  session: Session | undefined;
  #join: Waiter<JoinOutcome> | undefined;
  #sync: Waiter<SyncOutcome> | undefined;

  constructor(options: ClassicMemberOptions) {
    this.memberId = options.memberId;
    this.instanceId = options.instanceId;
    this.clientId = options.clientId;
    this.clientHost = options.clientHost;
    this.sessionTimeoutMs = options.sessionTimeoutMs;
    this.rebalanceTimeoutMs = options.rebalanceTimeoutMs;
    this.protocols = options.protocols;
  }

  /** What it has brought, and what its leader has brought for it. */
  get bytes(): number {
    const { memberId, instanceId = "", clientId, clientHost } = this;
    const names = memberId.length + instanceId.length + clientId.length + clientHost.length;
    return names + protocolsBytes(this.protocols) + this.assignment.byteLength;
  }

  get isJoining(): boolean {
    return this.#join !== undefined;
  }

  get isSyncing(): boolean {
    return this.#sync !== undefined;
  }

  /** Waits for the next generation. An earlier such request has been given up by its client. */
  waitForGeneration(): Promise<JoinOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<JoinOutcome>();
    this.failJoin(superseded());
    this.#join = { resolve, reject };
    return promise;
  }

  waitForAssignment(): Promise<SyncOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<SyncOutcome>();
    this.failSync(superseded());
    this.#sync = { resolve, reject };
    return promise;
  }

  answerJoin(outcome: JoinOutcome): void {
    const waiter = this.#join;
    this.#join = undefined;
    waiter?.resolve(outcome);
  }

  failJoin(error: OttlaError): void {
    const waiter = this.#join;
    this.#join = undefined;
    waiter?.reject(error);
  }

  answerSync(outcome: SyncOutcome): void {
    const waiter = this.#sync;
    this.#sync = undefined;
    waiter?.resolve(outcome);
  }

  failSync(error: OttlaError): void {
    const waiter = this.#sync;
    this.#sync = undefined;
    waiter?.reject(error);
  }

  /** Ends everything that waits or runs for it. */
  end(error: OttlaError): void {
    this.session?.end();
    this.failJoin(error);
    this.failSync(error);
  }

  /** What it says about itself for a protocol. */
  metadataFor(protocolName: string | undefined): Uint8Array {
    return this.protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_BYTES;
  }

  /** Whether it says the same as before: names, order and bytes. */
  matches(protocols: readonly MemberProtocol[]): boolean {
    if (protocols.length !== this.protocols.length) return false;
    return protocols.every(({ name, metadata }, index) => {
      const own = this.protocols[index];
      return own?.name === name && Buffer.compare(own.metadata, metadata) === 0;
    });
  }

  /** The protocol it likes best of these. */
  vote(candidates: ReadonlySet<string>): string | undefined {
    return this.protocols.find(({ name }) => candidates.has(name))?.name;
  }
}

function superseded(): OttlaError {
  return new OttlaError("REBALANCE_IN_PROGRESS", "the member has asked again since");
}
