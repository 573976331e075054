import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  ClusterView,
  ensureClusterId,
  ensureSecretProof,
  MetadataKeys,
  requireSupportedLevel,
} from "@ottla/metadata";
import { EtcdStore, readEtcdSettings } from "@ottla/metadata/etcd";
import { type ClusterIdentity, storedSecretProof } from "@ottla/rpc";
import { readWholeFile } from "@ottla/runtime";
import { addPart } from "./add-part.ts";
import { type OpenCluster, type OpenClusterOptions, openDirectory } from "./cluster.ts";
import { keepMarked } from "./feature-level.ts";

const MAX_SECRET_FILE_BYTES = 64 * 1024;
const MIN_SECRET_LENGTH = 16;
/** The one in use and, while it is being changed, the next or the last; what is more is a mistake. */
const MAX_SECRETS = 4;
const RETRY_MS = 250;
const RETRY_LIMIT_MS = 2_000;

/**
 * Joins the cluster that etcd keeps, and waits for etcd as long as it takes. The data directory is opened
 * only by a node that stores, and only when the cluster's id is known. Throws what a person can act on.
 */
export async function joinCluster(options: OpenClusterOptions): Promise<OpenCluster> {
  const { settings, clock, random, logger, metrics, lifecycle } = options;
  const { name } = settings.cluster;
  const [secret = "", ...otherSecrets] = await readSecrets(options);
  const readFile = (path: string): Promise<Uint8Array> => readFileOf(options, path);
  const store = new EtcdStore({
    ...(await readEtcdSettings(settings.etcd, readFile)),
    clock,
    random,
    logger,
    metrics,
  });
  const closing = new AbortController();
  await addPart(lifecycle, "metadata", async () => {
    closing.abort(new OttlaError("UNAVAILABLE", "the node is stopping"));
    await store.close();
  });
  const { signal } = closing;
  const keys = new MetadataKeys(name);
  const expected = settings.clusterId;
  const clusterId = await onceEtcdAnswers(options, signal, () =>
    ensureClusterId({ store, keys, random, expected }),
  );
  const identity = { clusterId, secret, otherSecrets };
  // Before anyone learns of this node: one with another secret would be given work that it cannot do.
  await onceEtcdAnswers(options, signal, () => ensureSecretProof({ store, keys, ...proofsOf(identity) }));
  const view = await ClusterView.open({ store, cluster: name, clock, logger, signal });
  signal.addEventListener("abort", () => view.close());
  // Before the directory is opened: a program of the wrong level leaves it as it was.
  requireSupportedLevel(view.featureLevel);
  const stores = settings.target.includes("partition-storage");
  const directory = stores ? await openDirectory(options, clusterId) : undefined;
  if (directory !== undefined) view.recall(directory.memory);
  if (directory !== undefined) await keepMarked(directory.data, view, logger);
  return { name, store, view, clusterId, identity, directory, closing: signal };
}

/** What `ask` resolves to; waits for etcd as long as it takes. */
async function onceEtcdAnswers<T>(
  { settings, clock, logger }: OpenClusterOptions,
  signal: AbortSignal,
  ask: () => Promise<T>,
): Promise<T> {
  for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(RETRY_LIMIT_MS, pauseMs * 2)) {
    signal.throwIfAborted();
    try {
      return await ask();
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (signal.aborted || error.code !== "METADATA_UNAVAILABLE") throw error;
      const { endpoints } = settings.etcd;
      logger.warn({ endpoints, reason: error.message }, "etcd does not answer: waiting for it");
    }
    await clock.sleep(pauseMs, signal);
  }
}

function proofsOf({ clusterId, secret, otherSecrets = [] }: ClusterIdentity) {
  return {
    own: storedSecretProof({ clusterId, secret }),
    others: otherSecrets.map((other) => storedSecretProof({ clusterId, secret: other })),
  };
}

/** The secrets, each on a line of its own: the first is shown to other nodes, all are taken from them. */
async function readSecrets(options: OpenClusterOptions): Promise<string[]> {
  const { secret, secretFile } = options.settings.cluster;
  if (secretFile === undefined) return secretsOf(secret ?? "", "cluster.secret");
  let text: string;
  try {
    text = new TextDecoder().decode(await readFileOf(options, secretFile));
  } catch (thrown) {
    throw badSecret("cluster.secret-file", `${secretFile} cannot be read: ${toOttlaError(thrown).message}`);
  }
  return secretsOf(text, "cluster.secret-file", `${secretFile}: `);
}

function secretsOf(text: string, field: string, where = ""): string[] {
  const secrets = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const tooShort = secrets.findIndex((secret) => secret.length < MIN_SECRET_LENGTH);
  if (tooShort >= 0) {
    const line = secrets.length === 1 ? "" : `line ${tooShort + 1} `;
    const length = secrets[tooShort]?.length ?? 0;
    throw badSecret(
      field,
      `${where}${line}holds ${length} characters, at least ${MIN_SECRET_LENGTH} are needed`,
    );
  }
  if (secrets.length <= MAX_SECRETS) return secrets;
  throw badSecret(
    field,
    `${where}holds ${secrets.length} lines, each a secret: at most ${MAX_SECRETS} are taken`,
  );
}

function badSecret(field: string, what: string): OttlaError {
  return new OttlaError("INVALID_CONFIG", `${field}: ${what}`, {
    metadata: { field, limit: String(MIN_SECRET_LENGTH) },
  });
}

async function readFileOf({ disk }: OpenClusterOptions, path: string): Promise<Uint8Array> {
  const bytes = await readWholeFile(disk, path, MAX_SECRET_FILE_BYTES);
  if (bytes === undefined) throw new Error("there is no such file");
  return bytes;
}
