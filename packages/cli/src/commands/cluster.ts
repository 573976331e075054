import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode } from "../exit-codes.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { print, renderTable } from "../output/print.ts";

export async function describeCluster(flags: OutputFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  return withOttla(flags, environment, async (ottla) => {
    const cluster = await ottla.admin().describeCluster();
    await print(environment, format, cluster, () => {
      const controller = cluster.controllerId < 0 ? "none" : String(cluster.controllerId);
      const head = `cluster ${cluster.clusterId}  version ${cluster.version}  controller ${controller}\n`;
      const nodes = renderTable({
        columns: ["role", "node", "epoch", "address", "zone", "leaders", "replicas", "version"],
        rows: cluster.nodes.map((node) => [
          node.role,
          node.nodeId,
          node.nodeEpoch,
          node.address,
          node.zone,
          node.leaderCount,
          node.replicaCount,
          node.version,
        ]),
      });
      return `${head}${nodes}`;
    });
    return ExitCode.ok;
  });
}
