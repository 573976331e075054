import type { ClusterUpgrade, NodeLevels } from "@ottla/client";
import { withOttla } from "../connect.ts";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode } from "../exit-codes.ts";
import { type OutputFlags, outputFormat } from "../options.ts";
import { print, renderTable } from "../output/print.ts";
import { parseCount } from "../units.ts";

export interface UpgradeFlags extends OutputFlags {
  readonly level?: string;
  readonly execute?: boolean;
}

/** Shows what a raised feature level needs and allows; raises it only when told to. */
export async function upgradeCluster(flags: UpgradeFlags, environment: CliEnvironment): Promise<number> {
  const format = outputFormat(flags, environment);
  const level = flags.level === undefined ? undefined : parseCount("--level", flags.level);
  const dryRun = flags.execute !== true;
  return withOttla(flags, environment, async (ottla) => {
    const upgrade = await ottla.admin().upgradeCluster({ level, dryRun });
    await print(environment, format, upgrade, () => upgradeText(upgrade, dryRun));
    return upgrade.refusal === undefined ? ExitCode.ok : ExitCode.failed;
  });
}

function upgradeText(upgrade: ClusterUpgrade, dryRun: boolean): string {
  const { targetLevel } = upgrade;
  const table = renderTable({
    columns: ["role", "node", "version", "feature levels", `can work at ${targetLevel}`],
    rows: upgrade.nodes.map((node) => [
      node.role,
      node.nodeId,
      node.version === "" ? "?" : node.version,
      isAway(node) ? "? (not there)" : levelsText(node),
      isAway(node) ? "?" : canWork(node, targetLevel),
    ]),
  });
  const allowed = upgrade.levels.map(({ level, since, allows }) => `level ${level} (${since}): ${allows}`);
  const listed = allowed.length === 0 ? "" : `\n${allowed.join("\n")}\n`;
  return `${headline(upgrade, dryRun)}\n\n${table}${listed}${advice(upgrade, dryRun)}`;
}

function headline({ formerLevel, level, targetLevel, refusal }: ClusterUpgrade, dryRun: boolean): string {
  if (refusal !== undefined) return `feature level ${level}: ${refusal}`;
  if (formerLevel === targetLevel) return `feature level ${level}: there is nothing to raise`;
  return dryRun
    ? `feature level ${level}: it can be raised to ${targetLevel}`
    : `feature level ${level}, raised from ${formerLevel}`;
}

function advice({ formerLevel, targetLevel, refusal, nodes }: ClusterUpgrade, dryRun: boolean): string {
  if (!dryRun || refusal !== undefined || formerLevel === targetLevel) return "";
  const away = nodes.some(isAway)
    ? "Storage nodes that are not there need such a version when they return. "
    : "";
  return (
    `\n${away}A level is never lowered: versions that do not know it are refused from then on.\n` +
    `Nothing was changed. To raise it: ottla cluster upgrade --level ${targetLevel} --execute\n`
  );
}

function isAway({ maxLevel }: NodeLevels): boolean {
  return maxLevel === 0;
}

function levelsText({ minLevel, maxLevel }: NodeLevels): string {
  return minLevel === maxLevel ? String(minLevel) : `${minLevel} to ${maxLevel}`;
}

function canWork({ minLevel, maxLevel }: NodeLevels, level: number): string {
  return level >= minLevel && level <= maxLevel ? "yes" : "no";
}
