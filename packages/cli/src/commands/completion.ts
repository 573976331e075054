import type { Command } from "commander";
import type { CliEnvironment } from "../environment.ts";
import { ExitCode } from "../exit-codes.ts";
import { choice } from "../options.ts";

/** What may follow a command: its subcommands and its options. */
interface Place {
  /** For example "topic create"; "" for `ottla` itself. */
  readonly path: string;
  readonly words: readonly Word[];
}

interface Word {
  readonly text: string;
  readonly description: string;
}

/** `ottla completion`: a script made of the command tree; files are completed where arguments stand. */
export async function printCompletion(
  shell: string,
  program: Command,
  environment: CliEnvironment,
): Promise<number> {
  const places = placesOf(program, "");
  switch (choice("shell", shell, ["bash", "zsh", "fish"])) {
    case "bash":
      environment.stdout.write(bashScript(places));
      break;
    case "zsh":
      environment.stdout.write(zshScript(places));
      break;
    case "fish":
      environment.stdout.write(fishScript(places));
      break;
  }
  return ExitCode.ok;
}

function placesOf(command: Command, path: string): Place[] {
  const words: Word[] = [];
  const below: Place[] = [];
  for (const child of command.commands) {
    words.push({ text: child.name(), description: child.description() });
    below.push(...placesOf(child, path === "" ? child.name() : `${path} ${child.name()}`));
  }
  for (const { long, description } of [...command.options, { long: "--help", description: "show help" }]) {
    if (typeof long === "string") words.push({ text: long, description });
  }
  return [{ path, words }, ...below];
}

function bashScript(places: readonly Place[]): string {
  const cases = places.map(
    ({ path, words }) => `    "${path}") words="${words.map(({ text }) => text).join(" ")}" ;;`,
  );
  return `# bash completion of ottla: source <(ottla completion bash)
_ottla() {
  local current=\${COMP_WORDS[COMP_CWORD]} path="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
${commandCases(places, "      ")}
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _ottla ottla
`;
}

/** How one more word moves on in the tree: anything that is no subcommand stays where it is. */
function commandCases(places: readonly Place[], indent: string): string {
  return places
    .filter(({ path }) => path !== "")
    .map(({ path }) => {
      const parent = path.split(" ").slice(0, -1).join(" ");
      return `${indent}"${parent} ${path.split(" ").at(-1) ?? ""}") path="${path}" ;;`;
    })
    .join("\n");
}

function zshScript(places: readonly Place[]): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''").replaceAll(":", "\\:");
  const cases = places.map(({ path, words }) => {
    const described = words.map(({ text, description }) => `'${quote(text)}:${quote(description)}'`);
    return `    "${path}") candidates=(${described.join(" ")}) ;;`;
  });
  return `#compdef ottla
# zsh completion of ottla: ottla completion zsh > a directory of $fpath, as _ottla
_ottla() {
  local at="" word
  local -a candidates
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at $word" in
${commandCases(places, "      ").replaceAll("path=", "at=")}
    esac
  done
  case "$at" in
${cases.join("\n")}
  esac
  _describe 'ottla' candidates
  _files
}
compdef _ottla ottla
`;
}

function fishScript(places: readonly Place[]): string {
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = ["# fish completion of ottla: ottla completion fish > ~/.config/fish/completions/ottla.fish"];
  for (const { path, words } of places) {
    for (const { text, description } of words) {
      const what = text.startsWith("--") ? `-l ${text.slice(2)}` : `-f -a ${text}`;
      lines.push(
        `complete -c ottla -n ${quote(fishCondition(path, places))} ${what} -d ${quote(description)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

function fishCondition(path: string, places: readonly Place[]): string {
  if (path === "") return "__fish_use_subcommand";
  const seen = path.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`);
  const below = places
    .filter((place) => place.path.startsWith(`${path} `))
    .map((place) => place.path.slice(path.length + 1));
  if (below.length > 0) seen.push(`not __fish_seen_subcommand_from ${below.join(" ")}`);
  return seen.join("; and ");
}
