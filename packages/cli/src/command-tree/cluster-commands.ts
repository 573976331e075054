import type { Command } from "commander";
import type { DrainFlags, RecoverFlags } from "../commands/cluster.ts";
import type { UpgradeFlags } from "../commands/cluster-upgrade.ts";
import type { ConnectionFlags, OutputFlags } from "../options.ts";
import { collect, withAddress, withOutput } from "../options.ts";
import { type CommandTree, examples } from "./command-tree.ts";

export function addClusterCommands(program: Command, tree: CommandTree): void {
  const { environment, run } = tree;
  const cluster = program
    .command("cluster")
    .description("look at the cluster, upgrade it, empty storage nodes, recover from a backup");
  withOutput(cluster.command("describe"))
    .description("show the cluster's nodes, who leads and holds how much, and how far replicas are behind")
    .addHelpText("after", examples(["ottla cluster describe", "ottla cluster describe --output json"]))
    .action(
      run(async (flags: OutputFlags) => {
        const { describeCluster } = await import("../commands/cluster.ts");
        return describeCluster(flags, environment);
      }),
    );
  addUpgrade(cluster, tree);
  addDrain(cluster, tree);
  addRecover(cluster, tree);
  withAddress(cluster.command("balance"))
    .description("stop or start the moves of replicas that the cluster begins by itself")
    .argument("<action>", "pause or resume")
    .addHelpText("after", examples(["ottla cluster balance pause", "ottla cluster balance resume"]))
    .action(
      run(async (action: string, flags: ConnectionFlags) => {
        const { balance } = await import("../commands/cluster.ts");
        return balance(action, flags, environment);
      }),
    );
}

function addUpgrade(cluster: Command, { environment, run }: CommandTree): void {
  withOutput(cluster.command("upgrade"))
    .description("raise the cluster's feature level after all nodes run a new version")
    .option("--level <number>", "feature level to reach (default: the highest)")
    .option("--execute", "do it, rather than show what it would do; it is never undone")
    .addHelpText("after", examples(["ottla cluster upgrade", "ottla cluster upgrade --execute"]))
    .action(
      run(async (flags: UpgradeFlags) => {
        const { upgradeCluster } = await import("../commands/cluster-upgrade.ts");
        return upgradeCluster(flags, environment);
      }),
    );
}

function addDrain(cluster: Command, { environment, run }: CommandTree): void {
  withAddress(cluster.command("drain"))
    .description("empty a storage node: its replicas move to others")
    .argument("<node>", "number of the storage node")
    .option("--wait", "until it is drained; Ctrl-C ends the wait, not the drain")
    .addHelpText("after", examples(["ottla cluster drain 3", "ottla cluster drain 3 --wait"]))
    .action(
      run(async (node: string, flags: DrainFlags) => {
        const { drainNode } = await import("../commands/cluster.ts");
        return drainNode(node, flags, environment);
      }),
    );
  withAddress(cluster.command("cordon"))
    .description("keep new replicas away from a storage node; it keeps those that it has")
    .argument("<node>", "number of the storage node")
    .addHelpText("after", examples(["ottla cluster cordon 3"]))
    .action(
      run(async (node: string, flags: ConnectionFlags) => {
        const { cordonNode } = await import("../commands/cluster.ts");
        return cordonNode(node, flags, environment);
      }),
    );
  withAddress(cluster.command("resume"))
    .description("let a storage node take replicas again that was drained or cordoned")
    .argument("<node>", "number of the storage node")
    .addHelpText("after", examples(["ottla cluster resume 3"]))
    .action(
      run(async (node: string, flags: ConnectionFlags) => {
        const { resumeNode } = await import("../commands/cluster.ts");
        return resumeNode(node, flags, environment);
      }),
    );
}

function addRecover(cluster: Command, { environment, run }: CommandTree): void {
  withOutput(cluster.command("recover"))
    .description(
      "go on after a backup of the metadata was restored; without --execute only show what would be done",
    )
    .option(
      "--without-node <node>",
      "go on without what only this storage node has; may be repeated",
      collect,
    )
    .option("--execute", "do it")
    .addHelpText(
      "after",
      examples([
        "ottla cluster recover",
        "ottla cluster recover --execute",
        "ottla cluster recover --without-node 3 --execute",
      ]),
    )
    .action(
      run(async (flags: RecoverFlags) => {
        const { recoverCluster } = await import("../commands/cluster.ts");
        return recoverCluster(flags, environment);
      }),
    );
}
