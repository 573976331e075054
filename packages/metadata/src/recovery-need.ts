import type { ClusterAwaitingNode } from "./cluster-state.ts";
import type { FoundStore, SeenStore } from "./store-history.ts";

export interface RecoverySigns {
  readonly goneBackTo: FoundStore | undefined;
  readonly seenStore: SeenStore;
  readonly recoveryGeneration: number;
  awaitingNodes(): Iterable<ClusterAwaitingNode>;
}

/**
 * Why the cluster needs to be recovered, in one sentence, or undefined: this node has seen a later state of
 * the store itself, or storage nodes say that they have.
 */
export function recoveryNeed(view: RecoverySigns): string | undefined {
  const { goneBackTo: found, seenStore: seen, recoveryGeneration } = view;
  if (found !== undefined) {
    return (
      `the metadata store went back from revision ${seen.revision} to an earlier state (now at revision ` +
      `${found.revision}): a backup was restored. Nothing is served from it before "ottla cluster recover"`
    );
  }
  // One that a recovery has covered is about to follow, or came too late for it; neither stops the others.
  const nodes = [...view.awaitingNodes()].filter(({ generation }) => generation >= recoveryGeneration);
  if (nodes.length === 0) return undefined;
  const nodeIds = nodes.map(({ nodeId }) => nodeId).toSorted((a, b) => a - b);
  return (
    `the metadata store went back to an earlier state: storage ${nodes.length === 1 ? "node" : "nodes"} ` +
    `${nodeIds.join(", ")} had seen a later one. A backup was restored; nothing changes before ` +
    `"ottla cluster recover"`
  );
}
