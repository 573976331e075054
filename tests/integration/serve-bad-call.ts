import { OttlaError } from "@ottla/errors";
import type { AdminService } from "@ottla/proto/ottla/v1/admin";
import type { LogService } from "@ottla/proto/ottla/v1/log";
import type { RpcClient } from "@ottla/rpc";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readAll, startTestNode, type TestNode } from "./serve-support.ts";

/** A call that must be refused, and what the refusal says. */
export interface BadCall {
  readonly what: string;
  readonly call: (
    log: RpcClient<typeof LogService>,
    admin: RpcClient<typeof AdminService>,
  ) => Promise<unknown>;
  readonly code: string;
  readonly field?: string;
  readonly limit?: string;
}

export const LONG_NAME = "x".repeat(250);
export const PLACE = { topic: "t", partition: 0 } as const;
export const INVALID_NAME = { code: "INVALID_TOPIC_EXCEPTION" } as const;
export const INVALID = { code: "INVALID_REQUEST" } as const;
export const UNKNOWN = { code: "UNKNOWN_TOPIC_OR_PARTITION" } as const;

/** A number that the enum does not have, as a newer or a broken client sends it. */
export function unknownEnum(value: number): never {
  return value as never;
}

/** One node for all tests of a file, with the topics "t" (two partitions, always empty) and "with.dots". */
export function sharedNode(): () => TestNode {
  let node: TestNode | undefined;
  beforeAll(async () => {
    node = await startTestNode({ shared: true });
    await node.admin.createTopic({ name: "t", partitions: 2 });
    await node.admin.createTopic({ name: "with.dots" });
  });
  afterAll(async () => {
    await node?.stop();
  });
  return () => {
    if (node === undefined) throw new Error("the node has not started");
    return node;
  };
}

/** One test for each bad call. */
export function testBadCalls(node: () => TestNode, calls: readonly BadCall[]): void {
  test.each(calls)("$what is refused by name", async ({ call, code, field, limit }) => {
    const error = await call(node().log, node().admin).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof OttlaError)) throw new Error("the call was not refused", { cause: error });
    expect(`${error.code}: ${error.message}`).toContain(code);
    const named = { ...(field !== undefined && { field }), ...(limit !== undefined && { limit }) };
    expect(error.metadata).toMatchObject(named);
    // Nothing of the server's inside: no stacks, no paths of its files.
    expect(error.message).not.toMatch(/\bat \S+:\d+|node_modules|\/tmp\//);
    expect(await readAll(node(), "t")).toEqual([]);
  });
}
