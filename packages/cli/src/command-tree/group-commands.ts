import type { Command } from "commander";
import type { GroupListFlags, ResetFlags } from "../commands/group.ts";
import { collect, type OutputFlags, withAddress, withOutput } from "../options.ts";
import { type CommandTree, examples } from "./command-tree.ts";

export function addGroupCommands(program: Command, tree: CommandTree): void {
  const group = program
    .command("group")
    .description("list, describe and delete consumer groups, set where they go on");
  addListAndDescribe(group, tree);
  addResetAndDelete(group, tree);
}

function addListAndDescribe(group: Command, { environment, run }: CommandTree): void {
  withOutput(group.command("list"))
    .description("list groups, those of Kafka's clients too")
    .option(
      "-s, --state <state>",
      "only groups in this state, such as Empty or Stable; may be repeated",
      collect,
    )
    .addHelpText("after", examples(["ottla group list", "ottla group list -s Empty --output json"]))
    .action(
      run(async (flags: GroupListFlags) => {
        const { listGroups } = await import("../commands/group.ts");
        return listGroups(flags, environment);
      }),
    );
  withOutput(group.command("describe"))
    .description("show members, committed offsets and lag of groups")
    .argument("<names...>", "groups")
    .addHelpText("after", examples(["ottla group describe billing"]))
    .action(
      run(async (names: string[], flags: OutputFlags) => {
        const { describeGroups } = await import("../commands/group.ts");
        return describeGroups(names, flags, environment);
      }),
    );
}

function addResetAndDelete(group: Command, { environment, run }: CommandTree): void {
  withOutput(group.command("reset-offsets"))
    .description("set where a group without members goes on; without --execute only show it")
    .argument("<group>", "group")
    .requiredOption("--to <position>", "start, end, an offset N, @time, or shift:N from where it is")
    .option(
      "-t, --topic <topic>",
      "only this topic, or these partitions of it: orders:0,3; may be repeated",
      collect,
    )
    .option("--execute", "do it")
    .addHelpText(
      "after",
      examples([
        "ottla group reset-offsets billing --to start",
        "ottla group reset-offsets billing --to @-1h -t orders --execute",
        "ottla group reset-offsets billing --to shift:-10 -t orders:0 --execute",
      ]),
    )
    .action(
      run(async (name: string, flags: ResetFlags) => {
        const { resetOffsets } = await import("../commands/group.ts");
        return resetOffsets(name, flags, environment);
      }),
    );
  withAddress(group.command("delete"))
    .description("delete groups without members, with their offsets")
    .argument("<names...>", "groups")
    .addHelpText("after", examples(["ottla group delete billing"]))
    .action(
      run(async (names: string[], flags: OutputFlags) => {
        const { deleteGroups } = await import("../commands/group.ts");
        return deleteGroups(names, flags, environment);
      }),
    );
}
