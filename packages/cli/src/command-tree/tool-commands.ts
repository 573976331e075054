import type { Command } from "commander";
import type { DumpFlags, VerifyFlags } from "../commands/log.ts";
import type { PreStopFlags } from "../commands/prestop.ts";
import { addClusterCommands } from "./cluster-commands.ts";
import { type CommandTree, examples } from "./command-tree.ts";

export function addToolCommands(program: Command, tree: CommandTree): void {
  addClusterCommands(program, tree);
  addLog(program, tree);
  addPreStop(program, tree);
  addCompletion(program, tree);
}

function addPreStop(program: Command, { environment, run }: CommandTree): void {
  program
    .command("prestop")
    .description("hand on what the node on this host leads, before it is stopped: Kubernetes' preStop")
    .option("--host <address>", "where the node's HTTP port listens", "127.0.0.1")
    .option("--port <number>", "the node's HTTP port", "8080")
    .option("--timeout <seconds>", "give up after so long", "30")
    .addHelpText("after", examples(["ottla prestop", 'ottla prestop --host "$POD_IP"']))
    .action(
      run(async (flags: PreStopFlags) => {
        const { handOn } = await import("../commands/prestop.ts");
        return handOn(flags, environment);
      }),
    );
}

function addLog(program: Command, { environment, run }: CommandTree): void {
  const log = program.command("log").description("look at the files of a stopped node, or of a copy");
  log
    .command("verify")
    .description("check segments, indexes and snapshots; names file and position of any damage")
    .argument("<dir>", "partition directory, or a data directory with many")
    .option("--allow-gaps", "gaps between offsets are no damage (compacted topics)")
    .option("--max-problems <number>", "list at most so many for each partition", "100")
    .option("--output <format>", "table, json or yaml (environment: OTTLA_OUTPUT; default table)")
    .addHelpText("after", examples(["ottla log verify data", "ottla log verify data/topics/<topic id>-0"]))
    .action(
      run(async (directory: string, flags: VerifyFlags) => {
        const { verifyLogs } = await import("../commands/log.ts");
        return verifyLogs(directory, flags, environment);
      }),
    );
  log
    .command("dump")
    .description("list batches, and with --records what is in them")
    .argument("<dir>", "partition directory, or a data directory with many")
    .option("--records", "decode the records")
    .option("--indexes", "index entries, producer snapshots and leader epochs too")
    .option("--from <offset>", "from the batch that holds this offset")
    .option("--max-batches <number>", "at most so many batches of each partition")
    .option("--json", "one JSON object for each line")
    .addHelpText(
      "after",
      examples(["ottla log dump data/topics/<topic id>-0 --records --from 1000 --max-batches 2"]),
    )
    .action(
      run(async (directory: string, flags: DumpFlags) => {
        const { dumpLogs } = await import("../commands/log.ts");
        return dumpLogs(directory, flags, environment);
      }),
    );
}

function addCompletion(program: Command, { environment, run }: CommandTree): void {
  program
    .command("completion")
    .description("print the completion script of a shell")
    .argument("<shell>", "bash, zsh or fish")
    .addHelpText(
      "after",
      examples([
        "source <(ottla completion bash)",
        "ottla completion zsh > ~/.zfunc/_ottla",
        "ottla completion fish > ~/.config/fish/completions/ottla.fish",
      ]),
    )
    .action(
      run(async (shell: string) => {
        const { printCompletion } = await import("../commands/completion.ts");
        return printCompletion(shell, program, environment);
      }),
    );
}
