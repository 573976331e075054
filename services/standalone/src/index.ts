export { runServe } from "./main.ts";
export { type NodeOptions, type RunningNode, startNode } from "./node.ts";
