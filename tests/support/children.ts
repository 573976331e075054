import type { ChildProcess } from "node:child_process";

const children = new Set<ChildProcess>();

/**
 * Makes sure that a test's process does not outlive the test, however that ends: short of
 * SIGKILL, it goes along.
 */
export function endWithUs(child: ChildProcess): void {
  if (children.size === 0 && process.listenerCount("exit", killAll) === 0) {
    process.on("exit", killAll);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => process.exit(130));
  }
  children.add(child);
  child.once("exit", () => children.delete(child));
}

function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}
