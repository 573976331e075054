export { runServe } from "./main.ts";
export { type RunningNode, startNode } from "./node.ts";
export type { NodeOptions } from "./parts.ts";
