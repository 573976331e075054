import type { Command } from "commander";
import type { AlterFlags, CreateFlags, DescribeFlags, ListFlags } from "../commands/topic.ts";
import type { ConnectionFlags } from "../options.ts";
import { collect, withAddress, withOutput } from "../options.ts";
import { type CommandTree, examples } from "./command-tree.ts";
import { addReplicaCommands } from "./replica-commands.ts";

export function addTopicCommands(program: Command, tree: CommandTree): void {
  const topic = program
    .command("topic")
    .description("create, list, describe, alter and delete topics, move their replicas");
  addCreate(topic, tree);
  addListAndDescribe(topic, tree);
  addAlterAndDelete(topic, tree);
  addReplicaCommands(topic, tree);
}

function addCreate(topic: Command, { environment, run }: CommandTree): void {
  withOutput(topic.command("create"))
    .description("create a topic")
    .argument("<name>", "name of the topic")
    .option("-p, --partitions <number>", "how many partitions (default: the cluster's num.partitions)")
    .option("-r, --replication-factor <number>", "replicas of each partition (default: the cluster's)")
    .option(
      "--replica-assignment <nodes>",
      "storage nodes of the replicas, preferred leader first, partition by partition, such as 1:2:3,2:3:1",
    )
    .option("-c, --config <name=value>", "a setting by Kafka's name; may be repeated", collect)
    .option("--if-not-exists", "no error when the topic exists")
    .option("--validate-only", "check everything and create nothing")
    .addHelpText(
      "after",
      examples([
        "ottla topic create orders -p 4",
        "ottla topic create logs -p 12 -c retention.ms=86400000 -c compression.type=zstd",
        "ottla topic create audit --replica-assignment 1:2:3,2:3:1",
      ]),
    )
    .action(
      run(async (name: string, flags: CreateFlags) => {
        const { createTopic } = await import("../commands/topic.ts");
        return createTopic(name, flags, environment);
      }),
    );
}

function addListAndDescribe(topic: Command, { environment, run }: CommandTree): void {
  withOutput(topic.command("list"))
    .description("list topics")
    .option("--internal", "topics of the system too")
    .addHelpText("after", examples(["ottla topic list", "ottla topic list --output json"]))
    .action(
      run(async (flags: ListFlags) => {
        const { listTopics } = await import("../commands/topic.ts");
        return listTopics(flags, environment);
      }),
    );
  withOutput(topic.command("describe"))
    .description("show partitions, leaders, replicas and their lag, offsets, sizes and settings of topics")
    .argument("<names...>", "topics")
    .option("--all-configs", "settings that have their default too")
    .addHelpText(
      "after",
      examples(["ottla topic describe orders", "ottla topic describe orders logs --output yaml"]),
    )
    .action(
      run(async (names: string[], flags: DescribeFlags) => {
        const { describeTopics } = await import("../commands/topic.ts");
        return describeTopics(names, flags, environment);
      }),
    );
}

function addAlterAndDelete(topic: Command, { environment, run }: CommandTree): void {
  withOutput(topic.command("alter"))
    .description("change settings of a topic, or add partitions")
    .argument("<name>", "topic")
    .option("--set <name=value>", "set a setting; may be repeated", collect)
    .option("--unset <name>", "back to the default; may be repeated", collect)
    .option("--partitions <number>", "how many partitions to have in all; keys go elsewhere from then on")
    .option("--validate-only", "check everything and change nothing")
    .addHelpText(
      "after",
      examples([
        "ottla topic alter logs --set retention.ms=3600000 --unset compression.type",
        "ottla topic alter orders --partitions 8",
      ]),
    )
    .action(
      run(async (name: string, flags: AlterFlags) => {
        const { alterTopic } = await import("../commands/topic.ts");
        return alterTopic(name, flags, environment);
      }),
    );
  withAddress(topic.command("delete"))
    .description("delete topics with all their records")
    .argument("<names...>", "topics")
    .option("--if-exists", "no error when a topic does not exist")
    .addHelpText("after", examples(["ottla topic delete orders", "ottla topic delete --if-exists a b c"]))
    .action(
      run(async (names: string[], flags: ConnectionFlags & { ifExists?: boolean }) => {
        const { deleteTopics } = await import("../commands/topic.ts");
        return deleteTopics(names, flags, environment);
      }),
    );
}
