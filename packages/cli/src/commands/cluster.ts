import type {
  ClusterDescription,
  NodeDescription,
  Ottla,
  PartitionHealth,
  RecoveryPlan,
} from "@ottla/client";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode, usageError } from "../exit-codes.ts";
import { type ConnectionFlags, type OutputFlags, outputFormat } from "../options.ts";
import { print, renderTable, UNCONFIRMED } from "../output/print.ts";
import { formatBytes, formatCount, formatSeconds, parseCount, plural } from "../units.ts";

/** How often `--wait` looks how far the node is. */
const LOOK_MS = 1_000;

export async function describeCluster(flags: OutputFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const cluster = await ottla.admin().describeCluster({ includeStorage: true });
    await print(environment, format, cluster, () => clusterText(cluster));
    return ExitCode.ok;
  });
}

export interface DrainFlags extends ConnectionFlags {
  readonly wait?: boolean;
}

export async function drainNode(
  node: string,
  flags: DrainFlags,
  environment: CliEnvironment,
): Promise<number> {
  const nodeId = parseCount("<node>", node);
  return withOttla(flags, environment, async (ottla) => {
    const replicas = await ottla.admin().drainNode(nodeId);
    environment.stdout.write(`draining storage node ${nodeId}: ${plural(replicas, "replica")} to move\n`);
    if (replicas > 0 && (await ottla.admin().describeCluster()).balancingPaused) {
      environment.stderr.write("balancing is paused: nothing moves before `ottla cluster balance resume`\n");
    }
    return flags.wait === true ? untilDrained(ottla, nodeId, environment) : ExitCode.ok;
  });
}

export async function cordonNode(
  node: string,
  flags: ConnectionFlags,
  environment: CliEnvironment,
): Promise<number> {
  const nodeId = parseCount("<node>", node);
  return withOttla(flags, environment, async (ottla) => {
    await ottla.admin().cordonNode(nodeId);
    environment.stdout.write(`storage node ${nodeId} takes no more replicas\n`);
    return ExitCode.ok;
  });
}

export async function resumeNode(
  node: string,
  flags: ConnectionFlags,
  environment: CliEnvironment,
): Promise<number> {
  const nodeId = parseCount("<node>", node);
  return withOttla(flags, environment, async (ottla) => {
    await ottla.admin().resumeNode(nodeId);
    environment.stdout.write(`storage node ${nodeId} takes replicas again\n`);
    return ExitCode.ok;
  });
}

export interface RecoverFlags extends OutputFlags {
  readonly withoutNode?: readonly string[];
  readonly execute?: boolean;
}

/** Says what a recovery from a restored backup would do, and does it with --execute. */
export async function recoverCluster(flags: RecoverFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  const withoutNodes = (flags.withoutNode ?? []).map((node) => parseCount("--without-node", node));
  const execute = flags.execute === true;
  return withOttla(flags, environment, async (ottla) => {
    const plan = await ottla.admin().recoverCluster({ execute, withoutNodes });
    await print(environment, format, plan, () => recoveryText(plan, execute));
    return ExitCode.ok;
  });
}

function recoveryText(plan: RecoveryPlan, isDone: boolean): string {
  const { partitionCount, nodeIds, notable, unknown } = plan;
  const parts = [
    `${isDone ? "recovered" : "would recover"} ${plural(partitionCount, "partition")} from what lies on ` +
      `storage ${nodeIds.length === 1 ? "node" : "nodes"} ${nodeIds.join(", ")}\n`,
  ];
  if (notable.length > 0) {
    const rows = notable.map(({ topic, partition, inSyncReplicas, note }) => [
      `${topic}-${partition}`,
      inSyncReplicas.length === 0 ? "none" : inSyncReplicas.join(","),
      note,
    ]);
    parts.push(`\n${renderTable({ columns: ["partition", "in sync", "to know"], rows })}`);
  }
  if (unknown.length > 0) {
    const rows = unknown.map(({ topicId, partition, nodeIds: on, logEndOffset }) => [
      `${topicId}-${partition}`,
      on.join(","),
      logEndOffset,
    ]);
    parts.push(
      `\nYounger than the backup: their logs ${isDone ? "go" : "would go"} to set-aside/\n`,
      renderTable({ columns: ["directory", "nodes", "log end"], rows }),
    );
  }
  if (!isDone) parts.push("\nNothing was changed: add --execute to do it.\n");
  return parts.join("");
}

export async function balance(
  action: string,
  flags: ConnectionFlags,
  environment: CliEnvironment,
): Promise<number> {
  if (action !== "pause" && action !== "resume") {
    throw usageError(`balance ${action}: must be pause or resume`);
  }
  return withOttla(flags, environment, async (ottla) => {
    if (action === "pause") await ottla.admin().pauseBalancing();
    else await ottla.admin().resumeBalancing();
    const state = action === "pause" ? "moves no replicas by itself now" : "moves replicas by itself again";
    environment.stdout.write(`the cluster ${state}\n`);
    return ExitCode.ok;
  });
}

/** The drain goes on when the wait is interrupted. */
async function untilDrained(ottla: Ottla, nodeId: number, environment: CliEnvironment): Promise<number> {
  const clock = await environment.clock();
  const interrupted = new AbortController();
  const removeHandler = environment.onInterrupt(() => interrupted.abort());
  let shown = -1;
  try {
    for (;;) {
      const { nodes } = await ottla.admin().describeCluster();
      const node = nodes.find((each) => each.role === "partition-storage" && each.nodeId === nodeId);
      if (node === undefined || node.drain === "drained") break;
      if (node.drain === "none" || node.drain === "cordoned") {
        throw new CliError(ExitCode.failed, `storage node ${nodeId} is not being drained any more`);
      }
      if (node.replicaCount !== shown) {
        shown = node.replicaCount;
        environment.stderr.write(`${plural(shown, "replica")} left\n`);
      }
      await clock.sleep(LOOK_MS, interrupted.signal);
    }
    environment.stdout.write(`storage node ${nodeId} is drained\n`);
    return ExitCode.ok;
  } catch (thrown) {
    if (!interrupted.signal.aborted) throw thrown;
    return ExitCode.interrupted;
  } finally {
    removeHandler();
  }
}

function clusterText(cluster: ClusterDescription): string {
  const { clusterId, version, controllerId } = cluster;
  const controller = controllerId < 0 ? "none" : String(controllerId);
  const balancing = cluster.balancingPaused ? "  balancing paused" : "";
  const need = cluster.recoveryNeed === undefined ? "" : `\nRECOVERY NEEDED: ${cluster.recoveryNeed}`;
  const away = cluster.unconfirmed ? `\n${UNCONFIRMED}` : "";
  const level = cluster.featureLevel === 0 ? "none yet" : String(cluster.featureLevel);
  const names = `cluster ${clusterId}  version ${version}  feature level ${level}`;
  const head = `${names}  controller ${controller}${balancing}${need}${away}`;
  const nodes = renderTable({
    columns: ["role", "node", "epoch", "address", "zone", "state", "version", "levels"],
    rows: cluster.nodes.map((node) => [
      node.role,
      node.nodeId,
      node.nodeEpoch,
      node.address,
      node.zone,
      stateOf(node),
      node.version,
      levelsOf(node),
    ]),
  });
  const storage = cluster.nodes.filter(({ role }) => role === "partition-storage");
  if (storage.length === 0) return `${head}\n${healthOf(cluster.partitions)}\n\n${nodes}`;
  return `${head}\n${healthOf(cluster.partitions)}\n\n${nodes}\n${storageTable(storage)}`;
}

function storageTable(nodes: readonly NodeDescription[]): string {
  return renderTable({
    columns: [
      "storage node",
      "leaders",
      "replicas",
      "out of sync",
      "under-replicated",
      "lag",
      "behind for",
      "disk free",
    ],
    rows: nodes.map(
      ({ nodeId, leaderCount, replicaCount, outOfSyncCount, underReplicatedCount, storage }) => [
        nodeId,
        leaderCount,
        replicaCount,
        outOfSyncCount,
        underReplicatedCount,
        ...(storage === undefined
          ? ["?", "?", "?"]
          : [
              formatCount(Number(storage.lagRecords)),
              formatSeconds(storage.lagMs),
              `${formatBytes(Number(storage.diskFreeBytes))} of ${formatBytes(Number(storage.diskTotalBytes))}`,
            ]),
      ],
    ),
  });
}

function levelsOf({ minFeatureLevel: min, maxFeatureLevel: max }: NodeDescription): string {
  if (max === 0) return "?";
  return min === max ? String(min) : `${min}-${max}`;
}

function stateOf({ offline, refused, drain, storage }: NodeDescription): string {
  const words = [
    ...(refused ? ["refused: wrong feature level"] : []),
    ...(offline ? ["offline"] : []),
    ...(drain === "none" ? [] : [drain]),
    ...(storage?.appendsRefused === undefined ? [] : ["disk full"]),
  ];
  return words.length === 0 ? "ok" : words.join(", ");
}

function healthOf(partitions: PartitionHealth): string {
  const amiss: [number, string][] = [
    [partitions.withoutLeader, "without a leader"],
    [partitions.underMinInSync, "below min.insync.replicas"],
    [partitions.underReplicated, "under-replicated"],
    [partitions.notPreferred, "not led by the preferred replica"],
    [partitions.reassigning, "with replicas on the move"],
  ];
  const texts = amiss.filter(([count]) => count > 0).map(([count, what]) => `${formatCount(count)} ${what}`);
  const state = texts.length === 0 ? "all replicas in sync" : texts.join(", ");
  return `${plural(partitions.total, "partition")}: ${state}`;
}
