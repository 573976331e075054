import type { Command } from "commander";
import type { ElectFlags, ReassignFlags } from "../commands/replicas.ts";
import { withOutput } from "../options.ts";
import { type CommandTree, examples } from "./command-tree.ts";

/** Commands of `topic` that are about its replicas. */
export function addReplicaCommands(topic: Command, { environment, run }: CommandTree): void {
  withOutput(topic.command("elect-leaders"))
    .description("give partitions their preferred leaders back, or a leader at all")
    .argument("[name]", "topic")
    .option("-p, --partition <numbers>", "only these partitions, such as 0 or 0,3")
    .option("--all", "all partitions of all topics")
    .option("--unclean", "where no replica in sync is left, take any live one: records may be lost")
    .addHelpText(
      "after",
      examples([
        "ottla topic elect-leaders orders",
        "ottla topic elect-leaders --all",
        "ottla topic elect-leaders orders -p 2 --unclean",
      ]),
    )
    .action(
      run(async (name: string | undefined, flags: ElectFlags) => {
        const { electLeaders } = await import("../commands/replicas.ts");
        return electLeaders(name, flags, environment);
      }),
    );
  withOutput(topic.command("reassign"))
    .description("move replicas to other storage nodes, show or cancel such moves")
    .argument("[name]", "topic")
    .option("-p, --partition <numbers>", "only these partitions, such as 0 or 0,3")
    .option("--replicas <nodes>", "storage nodes, the preferred leader first, such as 3,1,2")
    .option("--plan <file>", "JSON as Kafka's kafka-reassign-partitions takes it; - for standard input")
    .option("--change-replication-factor", "the number of replicas may change")
    .option("--cancel", "end the moves and go back to the replicas from before, maybe in another order")
    .option("--list", "show the moves that are under way")
    .addHelpText(
      "after",
      examples([
        "ottla topic reassign orders -p 0 --replicas 3,1,2",
        "ottla topic reassign --plan plan.json",
        "ottla topic reassign --list",
        "ottla topic reassign orders --cancel",
      ]),
    )
    .action(
      run(async (name: string | undefined, flags: ReassignFlags) => {
        const { reassignTopic } = await import("../commands/replicas.ts");
        return reassignTopic(name, flags, environment);
      }),
    );
}
