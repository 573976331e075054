import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  type ClusterView,
  campaign,
  FencedWriter,
  type NodeRegistration,
  registerNode,
  SUPPORTED_LEVELS,
} from "@ottla/metadata";
import { ActiveTerm } from "./active-term.ts";
import type { CoordinatorMetrics } from "./coordinator-metrics.ts";
import {
  type CoordinatorLimits,
  type CoordinatorOptions,
  DEFAULT_LEASE_TTL_MS,
  DEFAULT_LIMITS,
} from "./coordinator-options.ts";
import { NO_MUTANTS } from "./mutants.ts";

const RETRY_MS = 1000;

/** One coordinator of a cluster: registers itself, stands for election, and works while it is elected. */
export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #view: ClusterView;
  readonly #metrics: CoordinatorMetrics;
  readonly #limits: CoordinatorLimits;
  readonly #incarnation: string;
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #activeWaiters = new Set<() => void>();
  #active: ActiveTerm | undefined;
  #registered = false;

  constructor(options: CoordinatorOptions, view: ClusterView, metrics: CoordinatorMetrics) {
    this.#options = options;
    this.#view = view;
    this.#metrics = metrics;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#incarnation = options.random.uuid();
  }

  /** Whether the registration stands right now: it needs nothing else to be of use, elected or not. */
  get isRegistered(): boolean {
    return this.#registered;
  }

  get isActive(): boolean {
    return this.#active !== undefined;
  }

  /** The work of the term; throws NOT_CONTROLLER on a standby, naming the elected one if there is one. */
  requireActive(): ActiveTerm {
    if (this.#active !== undefined) return this.#active;
    const elected = this.#view.controller;
    const hint = this.#whoIsActive(elected?.nodeId);
    throw new OttlaError(
      "NOT_CONTROLLER",
      `coordinator ${this.#options.nodeId} is not the active one: ${hint}`,
      {
        metadata: elected === undefined ? {} : { controllerId: String(elected.nodeId) },
      },
    );
  }

  #whoIsActive(electedNodeId: number | undefined): string {
    if (electedNodeId === undefined) return "none is elected now";
    // The view is old, or the lease is over and the store has not said so yet.
    if (electedNodeId === this.#options.nodeId) return "it was the last one elected, and its lease is over";
    return `node ${electedNodeId} is`;
  }

  /** Resolves when this coordinator is elected and serves; rejects when the signal aborts or it stops. */
  async whenActive(signal?: AbortSignal): Promise<void> {
    const signals = signal === undefined ? [] : [signal];
    const given = AbortSignal.any([this.#stopping.signal, ...signals]);
    while (this.#active === undefined) {
      given.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#activeWaiters.delete(wake);
          given.removeEventListener("abort", wake);
          resolve();
        };
        this.#activeWaiters.add(wake);
        given.addEventListener("abort", wake, { once: true });
      });
    }
  }

  start(): void {
    this.#loops.push(
      this.#repeat("registration", () => this.#register()),
      this.#repeat("term", () => this.#serveTerm()),
    );
  }

  /** Hands the office on at once. */
  async stop(): Promise<void> {
    this.#stopping.abort(new OttlaError("UNAVAILABLE", "the coordinator is stopping"));
    await Promise.all(this.#loops);
  }

  async #repeat(what: string, run: () => Promise<void>): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await run();
      } catch (thrown) {
        if (signal.aborted) return;
        logger.error({ err: toOttlaError(thrown) }, `the coordinator's ${what} failed, will try again`);
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #register(): Promise<void> {
    const { nodeId, zone, version, address, levels = SUPPORTED_LEVELS } = this.#options;
    const registration: NodeRegistration = {
      role: "coordinator",
      nodeId,
      addresses: [address],
      zone,
      version,
      minFeatureLevel: levels.min,
      maxFeatureLevel: levels.max,
      incarnation: this.#incarnation,
      directoryId: "",
      cleanShutdownNodeEpoch: -1,
    };
    const { onHeld } = this.#options;
    const { lease } = await registerNode({
      ...this.#holdOptions(),
      registration,
      ...(onHeld && { onHeld }),
    });
    this.#registered = true;
    await aborted(lease.lost, this.#stopping.signal);
    this.#registered = false;
    await lease.revoke().catch(() => undefined);
  }

  async #serveTerm(): Promise<void> {
    const { nodeId, address, logger, store, clock, random, settings } = this.#options;
    const candidate = { nodeId, address, incarnation: this.#incarnation };
    const { lease, term } = await campaign({ ...this.#holdOptions(), candidate });
    const fenced = new AbortController();
    const ended = AbortSignal.any([lease.lost, fenced.signal, this.#stopping.signal]);
    const onFenced = (): void =>
      fenced.abort(new OttlaError("NOT_CONTROLLER", "another coordinator was elected"));
    const refusal = (): OttlaError | undefined => needsRecovery(this.#view);
    const fencing = {
      store,
      keys: this.#view.keys,
      term,
      by: `${this.#incarnation}-${term}`,
      onFenced,
      untilFollowing: () => this.#view.untilFollowing(),
    };
    const unsubscribe = this.#onOtherStore(() =>
      fenced.abort(new OttlaError("NOT_CONTROLLER", "the metadata went back, or was recovered")),
    );
    try {
      const active = await ActiveTerm.begin({
        store,
        view: this.#view,
        writer: new FencedWriter({ ...fencing, refusal }),
        recoveryWriter: new FencedWriter(fencing),
        clock,
        random,
        logger,
        metrics: this.#metrics,
        defaults: settings,
        limits: this.#limits,
        mutants: this.#options.mutants ?? NO_MUTANTS,
        levels: this.#options.levels ?? SUPPORTED_LEVELS,
        ended,
        ...(this.#options.storageTransport && { storageTransport: this.#options.storageTransport }),
      });
      logger.info({ term }, "elected as coordinator");
      this.#setActive(active);
      await aborted(ended);
      logger.info({ term, reason: toOttlaError(ended.reason).message }, "no longer the coordinator");
    } finally {
      unsubscribe();
      this.#setActive(undefined);
      fenced.abort(new OttlaError("NOT_CONTROLLER", "the term of this coordinator is over"));
      await lease.revoke().catch(() => undefined);
    }
  }

  /** What a term knows of the metadata is void when another state of it has taken its place. */
  #onOtherStore(onOther: () => void): () => void {
    const view = this.#view;
    const { recoveryGeneration, goneBackTo } = view;
    return view.onChange(({ recoveryChanged }) => {
      if (!recoveryChanged) return;
      const isBack = view.goneBackTo !== undefined;
      if (isBack !== (goneBackTo !== undefined) || view.recoveryGeneration !== recoveryGeneration) onOther();
    });
  }

  #setActive(active: ActiveTerm | undefined): void {
    this.#active = active;
    if (active === undefined) return;
    for (const wake of this.#activeWaiters) wake();
  }

  #holdOptions() {
    const { store, clock, logger, leaseTtlMs = DEFAULT_LEASE_TTL_MS } = this.#options;
    return { store, keys: this.#view.keys, ttlMs: leaseTtlMs, clock, logger, signal: this.#stopping.signal };
  }
}

/** Why a coordinator changes nothing now; undefined when all is well. */
export function needsRecovery(view: ClusterView): OttlaError | undefined {
  const need = view.recoveryNeed;
  return need === undefined ? undefined : new OttlaError("METADATA_UNAVAILABLE", need);
}

/** Resolves when one of the signals has aborted. */
async function aborted(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals]);
  if (any.aborted) return;
  await new Promise<void>((resolve) => {
    any.addEventListener("abort", () => resolve(), { once: true });
  });
}
