import type { ChildProcess } from "node:child_process";

const children = new Set<ChildProcess>();

/**
 * Makes sure that a test's process does not outlive the test, however that ends short of
 * SIGKILL. Signals are left to those who listen to them already.
 */
export function endWithUs(child: ChildProcess): void {
  if (!process.listeners("exit").includes(killAll)) {
    process.on("exit", killAll);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(130));
    }
  }
  children.add(child);
  child.once("exit", () => children.delete(child));
}

function killAll(): void {
  for (const child of children) child.kill("SIGKILL");
}
