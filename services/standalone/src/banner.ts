import type { Logger, Settings } from "@ottla/runtime";
import type { RunningNode } from "./node.ts";

/** What a person at the terminal may try next; only shown to people. */
export function nextCommands(node: RunningNode): string {
  const address = node.grpcPort === 50_051 ? "" : ` --address localhost:${node.grpcPort}`;
  const line = (command: string): string => `    bin/ottla ${command}${address}`;
  return [
    "",
    `  Ottla is ready: Kafka on ${node.kafkaPort}, gRPC on ${node.grpcPort}, HTTP on ${node.httpPort}.`,
    "  Try in another terminal:",
    "",
    line("topic create hello"),
    `    echo 'hello, world' | bin/ottla produce hello${address}`,
    line("consume hello -o start -e"),
    "",
    "",
  ].join("\n");
}

/** Nothing authenticates callers yet: who listens beyond loopback should know what that means. */
export function warnWhenOpen(settings: Settings, logger: Logger): void {
  if (isLoopback(settings.listen)) return;
  logger.warn(
    { listen: settings.listen },
    "listening beyond loopback: nothing authenticates callers yet, so this address is open to everyone",
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}
