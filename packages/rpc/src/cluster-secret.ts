import { createHmac, timingSafeEqual } from "node:crypto";
import { OttlaError } from "@ottla/errors";
import type { CallContext } from "./service.ts";

/** What every call between services carries. */
const CLUSTER_ID = "ottla-cluster-id";
const PROOF = "ottla-cluster-proof";
const PRINCIPAL = "ottla-principal";

/** For whom a call is made as long as nothing authenticates clients. */
export const ANONYMOUS = "User:ANONYMOUS";

export interface ClusterIdentity {
  readonly clusterId: string;
  /** Shared by all nodes of the cluster, and by nobody else. */
  readonly secret: string;
  /** Taken from callers too: the next secret or the last one, while it is being changed. */
  readonly otherSecrets?: readonly string[];
}

/**
 * The metadata of a call to another service: the cluster's id, the proof that the caller has the secret, and
 * the principal for whom it is made.
 */
export function clusterMetadata(identity: ClusterIdentity, principal = ANONYMOUS): Record<string, string> {
  const { clusterId } = identity;
  const proof = proofOf(identity).toString("base64url");
  return { [CLUSTER_ID]: clusterId, [PROOF]: proof, [PRINCIPAL]: principal };
}

/**
 * For a server's `authorize`. Throws UNAUTHENTICATED without the secret, and CLUSTER_AUTHORIZATION_FAILED for
 * a node of another cluster that happens to have the same one.
 */
export function requireClusterSecret(identity: ClusterIdentity): (context: CallContext) => void {
  const { clusterId: own, otherSecrets = [] } = identity;
  const secrets = [identity.secret, ...otherSecrets];
  const proofs = secrets.map((secret) => proofOf({ clusterId: own, secret }));
  return ({ metadata }) => {
    const clusterId = metadata.get(CLUSTER_ID) ?? "";
    const proof = Buffer.from(metadata.get(PROOF) ?? "", "base64url");
    const expected = clusterId === own ? proofs : secrets.map((secret) => proofOf({ clusterId, secret }));
    // All are compared, so that the time tells nothing of which one it was.
    const matches = expected.map((one) => proof.length === one.length && timingSafeEqual(proof, one));
    if (!matches.includes(true)) {
      throw new OttlaError(
        "UNAUTHENTICATED",
        "the caller does not have this cluster's secret: set cluster.secret or cluster.secret-file alike on all nodes",
      );
    }
    if (clusterId !== own) {
      throw new OttlaError(
        "CLUSTER_AUTHORIZATION_FAILED",
        `the caller belongs to cluster ${clusterId.slice(0, 64)}, this node to ${own}`,
        { metadata: { field: "clusterId" } },
      );
    }
  };
}

/** For whom a call is made. */
export function principalOf({ metadata }: Pick<CallContext, "metadata">): string {
  return metadata.get(PRINCIPAL) ?? ANONYMOUS;
}

/**
 * What the metadata store keeps of a secret, so that a node that has another one is refused before others
 * meet it. It gives the secret away as little as the proof that calls carry, and is not that one: who reads
 * the store can call nobody.
 */
export function storedSecretProof({ clusterId, secret }: ClusterIdentity): string {
  return createHmac("sha256", secret).update(`ottla stored proof ${clusterId}`).digest("base64url");
}

/** Bound to the cluster's id, so that it opens no other cluster, and does not give the secret itself away. */
function proofOf({ clusterId, secret }: ClusterIdentity): Buffer {
  return createHmac("sha256", secret).update(`ottla cluster ${clusterId}`).digest();
}
