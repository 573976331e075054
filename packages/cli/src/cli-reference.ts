import type { Command } from "commander";
import type { CliEnvironment } from "./environment.ts";
import { EXIT_CODE_MEANINGS } from "./exit-codes.ts";
import { buildProgram } from "./program.ts";

const INTRODUCTION = `# The \`ottla\` command

<!-- Generated from packages/cli by scripts/generate-docs.ts: do not edit. -->

\`bin/ottla\` runs it from a checkout. The address of the cluster is \`--address\`, else that in the
environment, \`OTTLA_ADDRESS\`, else \`localhost:50051\`; of several addresses with commas between the
first that answers is taken, and the next when it is lost. \`--address\` and \`--output\` may also stand
before the command. Results go to standard output; progress,
summaries and errors go to standard error.
`;

/** The page docs/cli.md, from the command tree. */
export function cliReference(): string {
  const { command } = buildProgram(documentationEnvironment());
  const leaves = leavesOf(command, "ottla").filter(({ path }) => path !== "ottla serve");
  const codes = EXIT_CODE_MEANINGS.map(([code, meaning]) => `| ${code} | ${meaning} |`);
  const serve =
    "## ottla serve\n\nRuns Ottla in this process. Its settings are on the [configuration page](configuration.md).\n";
  const sections = leaves.map(
    ({ path, command }) => `## ${path}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`,
  );
  return [
    INTRODUCTION,
    `## Exit codes\n\n| code | meaning |\n|---|---|\n${codes.join("\n")}\n`,
    serve,
    ...sections,
  ].join("\n");
}

function leavesOf(command: Command, path: string): { path: string; command: Command }[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap((child) => leavesOf(child, `${path} ${child.name()}`));
}

/** The help as the command prints it, at a fixed width. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text.trimEnd();
}

/** Only the tree is looked at; nothing runs. */
function documentationEnvironment(): CliEnvironment {
  const unused = () => {
    throw new Error("documentation runs no commands");
  };
  return {
    env: {},
    stdin: unused,
    stdinIsTerminal: false,
    stdout: process.stdout,
    stdoutIsTerminal: false,
    stderr: process.stderr,
    stderrIsTerminal: false,
    workingDirectory: "/",
    clock: unused,
    disk: unused,
    onInterrupt: unused,
    serve: unused,
  };
}
