import { OttlaError, toOttlaError } from "@ottla/errors";
import {
  ClusterView,
  ensureClusterId,
  MetadataKeys,
  type MetadataStore,
  requireSupportedLevel,
} from "@ottla/metadata";
import { EtcdStore, readEtcdSettings } from "@ottla/metadata/etcd";
import { readWholeFile } from "@ottla/runtime";
import { addPart } from "./add-part.ts";
import { type OpenCluster, type OpenClusterOptions, openDirectory } from "./cluster.ts";

const MAX_SECRET_FILE_BYTES = 64 * 1024;
const MIN_SECRET_LENGTH = 16;
const RETRY_MS = 250;
const RETRY_LIMIT_MS = 2_000;

/**
 * Joins the cluster that etcd keeps, and waits for etcd as long as it takes. The data directory is opened
 * only by a node that stores, and only when the cluster's id is known. Throws what a person can act on.
 */
export async function joinCluster(options: OpenClusterOptions): Promise<OpenCluster> {
  const { settings, clock, random, logger, metrics, lifecycle } = options;
  const { name } = settings.cluster;
  const secret = await readSecret(options);
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
  const clusterId = await clusterIdOf(options, store, signal);
  const view = await ClusterView.open({ store, cluster: name, clock, logger, signal });
  signal.addEventListener("abort", () => view.close());
  // Before the directory is opened: a program of the wrong level leaves it as it was.
  requireSupportedLevel(view.featureLevel);
  const stores = settings.target.includes("partition-storage");
  const directory = stores ? await openDirectory(options, clusterId) : undefined;
  return { name, store, view, clusterId, identity: { clusterId, secret }, directory, closing: signal };
}

/** The id that the first node of the cluster has written. */
async function clusterIdOf(
  options: OpenClusterOptions,
  store: MetadataStore,
  signal: AbortSignal,
): Promise<string> {
  const { settings, clock, random, logger } = options;
  const keys = new MetadataKeys(settings.cluster.name);
  for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(RETRY_LIMIT_MS, pauseMs * 2)) {
    signal.throwIfAborted();
    try {
      return await ensureClusterId({ store, keys, random, expected: settings.clusterId });
    } catch (thrown) {
      const error = toOttlaError(thrown);
      if (signal.aborted || error.code !== "METADATA_UNAVAILABLE") throw error;
      const { endpoints } = settings.etcd;
      logger.warn({ endpoints, reason: error.message }, "etcd does not answer: waiting for it");
    }
    await clock.sleep(pauseMs, signal);
  }
}

async function readSecret(options: OpenClusterOptions): Promise<string> {
  const { secret, secretFile } = options.settings.cluster;
  if (secretFile === undefined) return secret ?? "";
  let text: string;
  try {
    text = new TextDecoder().decode(await readFileOf(options, secretFile)).replace(/\r?\n$/, "");
  } catch (thrown) {
    throw badSecretFile(`${secretFile} cannot be read: ${toOttlaError(thrown).message}`);
  }
  if (text.length >= MIN_SECRET_LENGTH) return text;
  throw badSecretFile(
    `${secretFile} holds ${text.length} characters, at least ${MIN_SECRET_LENGTH} are needed`,
  );
}

function badSecretFile(what: string): OttlaError {
  const metadata = { field: "cluster.secret-file", limit: String(MIN_SECRET_LENGTH) };
  return new OttlaError("INVALID_CONFIG", `cluster.secret-file: ${what}`, { metadata });
}

async function readFileOf({ disk }: OpenClusterOptions, path: string): Promise<Uint8Array> {
  const bytes = await readWholeFile(disk, path, MAX_SECRET_FILE_BYTES);
  if (bytes === undefined) throw new Error("there is no such file");
  return bytes;
}
