/**
 * Where a process of a test runs: this machine, or a network namespace that stands for a machine of its own.
 */
export interface Machine {
  /** The address at which it listens and others reach it. */
  readonly host: string;
  /** What goes before a command to run it there. */
  readonly launcher: readonly string[];
}

export const THIS_MACHINE: Machine = { host: "127.0.0.1", launcher: [] };

/** The program and its parameters, as they are started on a machine. */
export function commandOn(
  machine: Machine,
  program: string,
  parameters: readonly string[],
): { readonly program: string; readonly parameters: string[] } {
  const [first = program, ...others] = [...machine.launcher, program, ...parameters];
  return { program: first, parameters: others };
}
