import { OttlaError } from "@ottla/errors";
import type { MetadataKeys } from "./keys.ts";
import type { MetadataStore, Operation } from "./metadata-store.ts";
import { secretProofStateCodec } from "./values.ts";

export interface SecretProofOptions {
  readonly store: MetadataStore;
  readonly keys: MetadataKeys;
  /** Of the secret that this node shows to others. */
  readonly own: string;
  /** Of those that it takes from others beside its own: the secret is being changed. */
  readonly others: readonly string[];
}

/**
 * Lets nobody into the cluster who has another secret than its nodes: who comes first writes a proof of it,
 * later ones compare theirs before anyone learns of them. Who knows the secret that stands there beside its
 * own is changing it and puts its own there. Throws INVALID_CONFIG for all others.
 */
export async function ensureSecretProof(options: SecretProofOptions): Promise<void> {
  const { store, keys, own, others } = options;
  const key = keys.secretProof;
  const putOwn: Operation = { kind: "put", key, value: secretProofStateCodec.encode({ proof: own }) };
  for (;;) {
    const { succeeded, reads } = await store.transact({
      compare: [{ key, createRevision: 0 }],
      success: [putOwn],
      failure: [{ kind: "get", key }],
    });
    const entry = reads[0];
    if (succeeded || entry === undefined) return;
    const { proof } = secretProofStateCodec.parse(entry.value, key);
    if (proof === own) return;
    if (!others.includes(proof)) throw anotherSecret(keys);
    // Others change it too: look again at what they made of it.
    const replaced = await store.transact({
      compare: [{ key, modRevision: entry.modRevision }],
      success: [putOwn],
    });
    if (replaced.succeeded) return;
  }
}

function anotherSecret({ secretProof }: MetadataKeys): OttlaError {
  return new OttlaError(
    "INVALID_CONFIG",
    "cluster.secret is not the secret of this cluster's nodes: set cluster.secret or cluster.secret-file to theirs; " +
      "to change it, give all of them the new secret and the old one, a line each. The secret's proof is " +
      `${secretProof} in etcd: where the old secret is lost, delete that key while all nodes are stopped`,
    { metadata: { field: "cluster.secret" } },
  );
}
