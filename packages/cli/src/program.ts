import { Command, CommanderError } from "commander";
import { addBenchCommands } from "./command-tree/bench-commands.ts";
import { type CommandTree, examples } from "./command-tree/command-tree.ts";
import { addGroupCommands } from "./command-tree/group-commands.ts";
import { addRecordCommands } from "./command-tree/record-commands.ts";
import { addToolCommands } from "./command-tree/tool-commands.ts";
import { addTopicCommands } from "./command-tree/topic-commands.ts";
import type { CliEnvironment } from "./environment.ts";
import { EXIT_CODE_MEANINGS, ExitCode, usageError } from "./exit-codes.ts";
import { withOutput } from "./options.ts";
import { CLI_VERSION } from "./package-version.ts";

export interface Program {
  readonly command: Command;
  run(argv: readonly string[]): Promise<number>;
}

/** The tree of commands. */
export function buildProgram(environment: CliEnvironment): Program {
  let exitCode: number = ExitCode.ok;
  const tree: CommandTree = {
    environment,
    run:
      (work) =>
      async (...values) => {
        exitCode = await work(...values);
      },
  };
  const command = new Command("ottla")
    .description("Ottla, an event-streaming platform: run it, and work with its topics")
    .version(CLI_VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help of a command")
    .addHelpText("after", exitCodeText())
    .showSuggestionAfterError(true)
    // Those of a command stand behind it; the connection's may stand before it too.
    .enablePositionalOptions()
    .hook("preAction", (program, action) => handDown(program, action));
  withOutput(command);
  addServeCommand(command, tree);
  addTopicCommands(command, tree);
  addGroupCommands(command, tree);
  addRecordCommands(command, tree);
  addToolCommands(command, tree);
  addBenchCommands(command, tree);
  prepare(command, environment);
  return {
    command,
    run: async (argv) => {
      try {
        await command.parseAsync([...argv], { from: "user" });
      } catch (thrown) {
        if (!(thrown instanceof CommanderError)) throw thrown;
        // Help and version are no errors; anything else was a wrong command line, which
        // commander has explained.
        return thrown.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
      }
      return exitCode;
    },
  };
}

/** Options before the command count for it, unless it has them of its own. */
function handDown(program: Command, action: Command): void {
  for (const option of program.options) {
    const name = option.attributeName();
    if (program.getOptionValueSource(name) !== "cli") continue;
    if (!action.options.some((own) => own.attributeName() === name)) {
      throw usageError(`${option.long}: \`${action.name()}\` has no such option`);
    }
    if (action.getOptionValueSource(name) === undefined) {
      action.setOptionValueWithSource(name, program.getOptionValue(name), "cli");
    }
  }
}

function addServeCommand(program: Command, { environment, run }: CommandTree): void {
  program
    .command("serve")
    .description("run Ottla in this process; `ottla serve --help` lists its settings")
    .argument("[settings...]", "flags of the server")
    .allowUnknownOption()
    .addHelpText("after", examples(["ottla serve --data-dir ./data", "ottla serve --target gateway"]))
    .action(run(async (settings: string[]) => environment.serve(settings)));
}

/** Errors and help go through the environment, also those of subcommands. */
function prepare(command: Command, environment: CliEnvironment): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => environment.stdout.write(text),
    writeErr: (text) => environment.stderr.write(text),
    outputError: (text, write) => write(text.replace(/^error: /, "ottla: ")),
  });
  for (const child of command.commands) prepare(child, environment);
}

function exitCodeText(): string {
  const lines = EXIT_CODE_MEANINGS.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}\n`);
  return `\nExit codes:\n${lines.join("")}`;
}
