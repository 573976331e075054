import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ClusterView } from "@ottla/metadata";
import type { DescribePartitionsResponse } from "@ottla/proto/ottla/internal/v1/storage";
import type { NodeStorageSchema } from "@ottla/proto/ottla/v1/admin";
import { fromErrorMessage, type PartitionRouter } from "@ottla/routing";
import type { Clock } from "@ottla/runtime";
import { errorFields } from "../public-error.ts";

export type NodeStorageInit = MessageInitShape<typeof NodeStorageSchema>;

export interface NodeStorageOptions {
  readonly view: ClusterView;
  readonly router: PartitionRouter;
  readonly clock: Clock;
}

/** A node that does not answer in time is shown without. */
const ASK_MS = 2_000;

/** What the storage nodes say of their disks, and leaders of how far the replicas are behind; by node id. */
export async function askStorageNodes(
  { view, router, clock }: NodeStorageOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, NodeStorageInit>> {
  const ending = new AbortController();
  const timer = clock.setTimer(ASK_MS, () => ending.abort());
  const either = AbortSignal.any([signal, ending.signal]);
  try {
    const answers = new Map<number, DescribePartitionsResponse>();
    await Promise.all(
      view.nodes("partition-storage").map(async ({ nodeId }) => {
        const answer = await router.describeNode(nodeId, "all", either).catch(() => undefined);
        if (answer !== undefined) answers.set(nodeId, answer);
      }),
    );
    const lags = lagsOf(answers.values());
    return new Map(
      Array.from(answers, ([nodeId, { diskFreeBytes, diskTotalBytes, appendsRefused }]) => {
        const { lagRecords = 0n, lagMs = 0n } = lags.get(nodeId) ?? {};
        const refusal =
          appendsRefused === undefined
            ? {}
            : { appendsRefused: errorFields(fromErrorMessage(appendsRefused)) };
        return [nodeId, { diskFreeBytes, diskTotalBytes, lagRecords, lagMs, ...refusal }];
      }),
    );
  } finally {
    timer.cancel();
  }
}

function lagsOf(
  answers: Iterable<DescribePartitionsResponse>,
): ReadonlyMap<number, { readonly lagRecords: bigint; readonly lagMs: bigint }> {
  const lags = new Map<number, { lagRecords: bigint; lagMs: bigint }>();
  for (const { partitions } of answers) {
    for (const { nodeId, lagRecords, lagMs } of partitions.flatMap(({ replicas }) => replicas)) {
      const lag = lags.get(nodeId) ?? { lagRecords: 0n, lagMs: 0n };
      lags.set(nodeId, lag);
      if (lagRecords > 0n) lag.lagRecords += lagRecords;
      if (lagMs > lag.lagMs) lag.lagMs = lagMs;
    }
  }
  return lags;
}
