import { toOttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { createClient, type Transport } from "@ottla/rpc";
import type { Clock, Logger } from "@ottla/runtime";
import type { PartitionStore } from "./partition-store.ts";
import type { ReplicationNode } from "./replication-node.ts";

export interface ControlledShutdownOptions {
  readonly view: ClusterView;
  readonly node: ReplicationNode;
  readonly store: Pick<PartitionStore, "replicas">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** To the active coordinator; throws where there is none. */
  readonly controllerTransport: () => Transport;
}

/** Leaders that have not moved by then are left to the coordinator, which sees the node go. */
const TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 2_000;
const RETRY_MS = 100;

/** How many partitions others lead now, and how many this node still leads that others could. */
export interface LeadersMoved {
  readonly moved: number;
  readonly left: number;
}

/**
 * Lets other replicas lead what this node leads, before it stops: for clients a pause of milliseconds.
 * Returns when the view shows it, when there is nobody to lead instead, or when it takes too long.
 */
export async function moveLeadersAway(options: ControlledShutdownOptions): Promise<LeadersMoved> {
  const { clock, logger, view } = options;
  const before = countMovable(options);
  if (before === 0) return { moved: 0, left: 0 };
  const giveUp = new AbortController();
  const timer = clock.setTimer(TIMEOUT_MS, () => giveUp.abort());
  try {
    await ask(options, giveUp.signal);
    await view.refresh().catch(() => undefined);
    await untilMoved(options, giveUp.signal);
  } finally {
    timer.cancel();
  }
  const left = countMovable(options);
  if (left > 0)
    logger.warn({ partitions: left }, "partitions could not be led by others before this node stops");
  return { moved: before - left, left };
}

async function ask(options: ControlledShutdownOptions, signal: AbortSignal): Promise<void> {
  const { clock, controllerTransport, logger, node, view } = options;
  while (!signal.aborted && node.identity !== undefined) {
    const { nodeId, nodeEpoch } = node.identity;
    try {
      const client = createClient(CoordinatorService, controllerTransport());
      const request = { nodeId, nodeEpoch: BigInt(nodeEpoch) };
      const { remaining } = await client.moveLeadersAway(request, { timeoutMs: CALL_TIMEOUT_MS, signal });
      logger.info({ remaining }, "the coordinator has chosen other leaders");
      return;
    } catch (thrown) {
      logger.debug({ err: toOttlaError(thrown) }, "the coordinator did not choose other leaders");
    }
    await view.refresh().catch(() => undefined);
    await clock.sleep(RETRY_MS, signal).catch(() => undefined);
  }
}

async function untilMoved(options: ControlledShutdownOptions, signal: AbortSignal): Promise<void> {
  const { view } = options;
  let stopListening = (): void => undefined;
  const moved = new Promise<void>((resolve) => {
    stopListening = view.onChange(() => {
      if (countMovable(options) === 0) resolve();
    });
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (countMovable(options) === 0 || signal.aborted) resolve();
  });
  await moved;
  stopListening();
}

/** How many partitions this node leads that another member of the ISR could. */
function countMovable({ node, store, view }: ControlledShutdownOptions): number {
  let count = 0;
  for (const { topicId, partition } of store.replicas()) {
    const state = view.partition(topicId, partition);
    if (state === undefined || state.leader !== node.nodeId) continue;
    if (state.leaderNodeEpoch !== node.identity?.nodeEpoch) continue;
    const hasOther = state.isr.some((nodeId) => nodeId !== node.nodeId && node.nodes.has(nodeId));
    if (hasOther) count += 1;
  }
  return count;
}
