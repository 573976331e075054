import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import {
  type ReplicateRequestSchema,
  type ReplicateResponseSchema,
  ReplicationRefusal,
  ReplicationService,
} from "@ottla/proto/ottla/internal/v1/replication";
import { createClient, InProcessTransport, type MessageStream, ServiceRegistry } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { batchOf, TestCluster, TOPIC } from "./test-cluster.ts";

type Request = MessageInitShape<typeof ReplicateRequestSchema>;
type Response = MessageInitShape<typeof ReplicateResponseSchema>;

let cluster: TestCluster;
afterEach(() => cluster.close());

const HELLO = {
  clusterId: "test-cluster",
  nodeId: 7,
  nodeEpoch: 5n,
  leaderNodeId: 0,
  leaderNodeEpoch: 100n,
} as const;
const JOIN = { index: 3, topicId: TOPIC, partition: 0 } as const;
const ACKNOWLEDGEMENT = { syncedEndOffset: 0n, lastEpoch: -1, logStartOffset: 0n } as const;
const UPDATE = { index: 3, leaderEpoch: 1, positionVersion: 1n, acknowledgement: ACKNOWLEDGEMENT } as const;

describe("the leader's side", () => {
  /** What a stream of these requests ends with. */
  async function refusalOf(...requests: readonly Request[]): Promise<string> {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 1, sending: { maxPartitions: 2 } });
    const stream = createClient(ReplicationService, cluster.transportTo(0)).replicate();
    for (const request of requests) stream.send(request);
    try {
      for await (const { answers } of stream.received) if (answers.length > 0) return "answered";
      return "ended";
    } catch (thrown) {
      return thrown instanceof OttlaError ? `${thrown.code} ${thrown.message}` : String(thrown);
    }
  }

  test.each([
    ["no hello", {}, "INVALID_REQUEST hello: the first message has none"],
    [
      "a stranger",
      { hello: { ...HELLO, clusterId: "other" } },
      /^CLUSTER_AUTHORIZATION_FAILED .*cluster other/,
    ],
    [
      "the address of another",
      { hello: { ...HELLO, leaderNodeId: 1 } },
      /^INVALID_REQUEST .*node 1 is asked for/,
    ],
    ["itself", { hello: { ...HELLO, nodeId: 0 } }, /^INVALID_REQUEST hello.node_id/],
    ["no number", { hello: { ...HELLO, nodeId: -1 } }, /^INVALID_REQUEST hello.node_id/],
    ["a former registration of it", { hello: { ...HELLO, leaderNodeEpoch: 99n } }, /^STALE_BROKER_EPOCH/],
    ["one it does not know of itself yet", { hello: { ...HELLO, leaderNodeEpoch: 101n } }, /^UNAVAILABLE/],
    ["a negative epoch", { hello: { ...HELLO, nodeEpoch: -1n } }, /^INVALID_REQUEST hello.node_epoch/],
  ] as const)("refuses a hello of %s", async (_, request, expected) => {
    const refusal = await refusalOf(request);
    expect(refusal).toMatch(expected);
    expect(await cluster.node(0).metric("refusals_total")).toBe(1);
  });

  test.each<readonly [string, Request, string]>([
    ["negative credit", { creditBytes: -1n }, "credit_bytes"],
    ["absurd credit", { catchUpCreditBytes: 2n ** 60n }, "catch_up_credit_bytes"],
    ["an index twice", { joins: [JOIN, { ...JOIN, partition: 1 }] }, "joins.index: 3 was used before"],
    ["a partition twice", { joins: [JOIN, { ...JOIN, index: 4 }] }, "joins"],
    ["no topic", { joins: [{ ...JOIN, topicId: "" }] }, "joins: index 3 names no partition"],
    [
      "too many",
      { joins: [0, 1, 2].map((n) => ({ ...JOIN, index: n, partition: n })) },
      "joins: 2 partitions",
    ],
    ["an unknown leave", { leaves: [3] }, "leaves: 3 is not in the session"],
    ["an unknown index", { updates: [UPDATE] }, "updates: 3 is not in the session"],
    ["no acknowledgement", { joins: [JOIN], updates: [{ index: 3 }] }, "updates.acknowledgement"],
    [
      "a negative version",
      { joins: [JOIN], updates: [{ ...UPDATE, positionVersion: -1n }] },
      "updates.position_v",
    ],
    [
      "a negative epoch",
      { joins: [JOIN], updates: [{ ...UPDATE, leaderEpoch: -1 }] },
      "updates.leader_epoch",
    ],
    [
      "a negative offset",
      { joins: [JOIN], updates: [{ ...UPDATE, position: { offset: -1n, lastEpoch: 0 } }] },
      "updates.position",
    ],
    [
      "a negative acknowledgement",
      {
        joins: [JOIN],
        updates: [{ ...UPDATE, acknowledgement: { ...ACKNOWLEDGEMENT, syncedEndOffset: -5n } }],
      },
      "updates.synced_end_offset",
    ],
    [
      "an epoch below none",
      { joins: [JOIN], updates: [{ ...UPDATE, acknowledgement: { ...ACKNOWLEDGEMENT, lastEpoch: -2 } }] },
      "updates.last_epoch",
    ],
  ])("ends a stream that says %s", async (_, request, expected) => {
    expect(await refusalOf({ hello: HELLO }, request)).toContain(`INVALID_REQUEST ${expected}`);
  });

  test("tells who asks for a partition that it does not lead", async () => {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 1 });
    const stream = createClient(ReplicationService, cluster.transportTo(0)).replicate();
    const index = 0;
    stream.send({
      hello: HELLO,
      joins: [{ index, topicId: TOPIC, partition: 9 }],
      updates: [{ ...UPDATE, index }],
    });
    for await (const { answers } of stream.received) {
      if (answers.length === 0) continue;
      const value = { reason: ReplicationRefusal.NOT_LEADER };
      expect(answers).toMatchObject([
        { leaderEpoch: 1, positionVersion: 1n, outcome: { case: "refused", value } },
      ]);
      break;
    }
  });

  test("drops the older of two streams of one node, and one of a former registration", async () => {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 1 });
    const open = (nodeEpoch: bigint) => {
      const stream = createClient(ReplicationService, cluster.transportTo(0)).replicate();
      stream.send({ hello: { ...HELLO, nodeEpoch } });
      return stream.received[Symbol.asyncIterator]();
    };
    const [first, second] = [open(5n), open(6n)];
    await first.next();
    await expect(first.next()).rejects.toThrow("storage node 7 has opened another stream");
    await second.next();
    await expect(open(5n).next()).rejects.toMatchObject({ code: "STALE_BROKER_EPOCH" });
  });
});

describe("the follower's side", () => {
  type Served = MessageStream<Response, unknown>;

  /** Serves node 1 with these answers in place of node 0, until it has been refused; returns why. */
  async function refusalOf(...responses: readonly Response[]): Promise<string> {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 2 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const registry = new ServiceRegistry().add(ReplicationService, {
      replicate: async (stream: Served) => {
        let sent = false;
        for await (const request of stream.received as AsyncIterable<Request>) {
          if (request.hello !== undefined)
            stream.send({ hello: { nodeId: 0, nodeEpoch: 100n, maxPartitions: 5 } });
          if (request.updates?.length === 0 || sent) continue;
          sent = true;
          for (const response of responses) stream.send(response);
        }
      },
    });
    cluster.replaceTransport(0, () => new InProcessTransport({ registry, clock: systemClock, copy: true }));
    cluster.node(1).client.close();
    cluster.restartClient(1, (reason) => resolve(reason));
    return promise;
  }

  const HEAD = { index: 0, leaderEpoch: 1, positionVersion: 2n } as const;
  const OFFSETS = { highWatermark: 0n, logStartOffset: 0n, logEndOffset: 9n } as const;
  const records = (value: object): Response => ({
    answers: [{ ...HEAD, ...OFFSETS, outcome: { case: "records", value: { baseOffset: 0n, ...value } } }],
    batches: [batchOf(1)],
  });

  test.each<readonly [string, Response, string]>([
    ["a second hello", { hello: { nodeId: 0, nodeEpoch: 100n, maxPartitions: 5 } }, "hello: stands"],
    ["an unknown index", { answers: [{ ...HEAD, index: 6 }] }, "answers.index: 6 is not in the session"],
    ["offsets never told", { answers: [HEAD] }, "answers.high_watermark: was never told"],
    [
      "a negative offset",
      { answers: [{ ...HEAD, ...OFFSETS, highWatermark: -4n }] },
      "answers.high_watermark: -4",
    ],
    ["more chunks than came", records({ nextOffset: 1n, chunkCount: 2 }), "answers.chunk_count: 2"],
    ["a negative count", records({ nextOffset: 1n, chunkCount: -1 }), "answers.chunk_count: -1"],
    ["records without bytes", records({ nextOffset: 1n, chunkCount: 0 }), "answers.records: have no bytes"],
    ["an end before the beginning", records({ nextOffset: 0n, chunkCount: 1 }), "answers.next_offset: 0"],
    ["bytes of nobody", { answers: [], batches: [batchOf(1)] }, "batches: 1 belong to no answer"],
  ])("ends a stream that says %s", async (_, response, expected) => {
    expect(await refusalOf(response)).toContain(expected);
  });

  test("ends a stream that sends more than it was granted", async () => {
    const large = {
      ...records({ nextOffset: 1n, chunkCount: 1 }),
      batches: [new Uint8Array(17 * 1024 * 1024)],
    };
    expect(await refusalOf(large, large)).toContain("bytes came on no credit");
  });
});

test("a follower asks anew when the leader's node takes its stream and says no hello", async () => {
  const receiving = { catchUpBytesPerSecond: 1_000_000_000, helloTimeoutMs: 20 };
  cluster = await TestCluster.start({ transport: "in-process", nodes: 2, receiving });
  const { promise, resolve } = Promise.withResolvers<void>();
  const troubles: string[] = [];
  let streams = 0;
  const registry = new ServiceRegistry().add(ReplicationService, {
    replicate: async (stream: MessageStream<Response, Request>) => {
      streams += 1;
      const isAnswered = streams === 2;
      for await (const { hello, updates = [] } of stream.received) {
        if (hello !== undefined && isAnswered)
          stream.send({ hello: { nodeId: 0, nodeEpoch: 100n, maxPartitions: 5 } });
        if (updates.length > 0) resolve();
      }
    },
  });
  cluster.replaceTransport(0, () => new InProcessTransport({ registry, clock: systemClock, copy: true }));
  cluster.node(1).client.close();
  cluster.restartClient(1, (reason) => troubles.push(reason));
  await promise;
  expect(troubles).toEqual([expect.stringContaining("storage node 0 has said no hello for 20 ms")]);
});

describe("the follower's side of the throttle", () => {
  /** What node 1 grants in the request in which it asks for a position. */
  async function catchUpCreditOf(isr: readonly number[]): Promise<bigint> {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 2, isr });
    const { promise, resolve } = Promise.withResolvers<bigint>();
    const registry = new ServiceRegistry().add(ReplicationService, {
      replicate: async (stream: MessageStream<Response, Request>) => {
        for await (const { catchUpCreditBytes = 0n, hello, updates = [] } of stream.received) {
          if (hello !== undefined) stream.send({ hello: { nodeId: 0, nodeEpoch: 100n, maxPartitions: 5 } });
          if (updates.length > 0) resolve(catchUpCreditBytes);
        }
      },
    });
    cluster.replaceTransport(0, () => new InProcessTransport({ registry, clock: systemClock, copy: true }));
    cluster.node(1).client.close();
    cluster.restartClient(1);
    return promise;
  }

  test("a leader gets of what it allows only while there is something to catch up with", async () => {
    expect(await catchUpCreditOf([0])).toBeGreaterThan(0n);
    await cluster.close();
    expect(await catchUpCreditOf([0, 1])).toBe(0n);
  });
});

describe("a follower that takes all it can get", () => {
  test("gets records of replicas that catch up between those of replicas in sync", async () => {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 2, partitions: 2 });
    cluster.node(1).client.close();
    for (const partition of [0, 1]) {
      for (let round = 0; round < 60; round += 1) cluster.replica(0, partition).append(batchOf(1, 500_000));
      await cluster.replica(0, partition).log.flush();
    }
    const stream = createClient(ReplicationService, cluster.transportTo(0)).replicate();
    const position = { offset: 0n, lastEpoch: -1 };
    const update = { leaderEpoch: 1, positionVersion: 9n, position, acknowledgement: ACKNOWLEDGEMENT };
    stream.send({
      hello: { ...HELLO, nodeId: 1, nodeEpoch: 101n },
      creditBytes: 100_000_000n,
      catchUpCreditBytes: 100_000_000n,
      joins: [0, 1].map((index) => ({ index, topicId: TOPIC, partition: index })),
      updates: [0, 1].map((index) => ({ ...update, index, catchingUp: index === 1 })),
    });
    const order: number[] = [];
    for await (const { answers } of stream.received) {
      order.push(...answers.filter(({ outcome }) => outcome.case === "records").map(({ index }) => index));
      if (order.length >= 60) break;
    }
    // Neither waits until nothing is left of the other.
    expect(order.slice(0, 40)).toContain(0);
    expect(order.slice(0, 40)).toContain(1);
  });

  test("waits for no throttle when acknowledgements wait for it", async () => {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 2 });
    cluster.node(1).client.close();
    cluster.replica(0).append(batchOf(3));
    const stream = createClient(ReplicationService, cluster.transportTo(0)).replicate();
    const index = 0;
    const position = { offset: 0n, lastEpoch: -1 };
    const update = { leaderEpoch: 1, positionVersion: 9n, position, acknowledgement: ACKNOWLEDGEMENT };
    stream.send({
      hello: { ...HELLO, nodeId: 1, nodeEpoch: 101n },
      creditBytes: 1_000_000n,
      joins: [{ index, topicId: TOPIC, partition: 0 }],
      updates: [{ ...update, index, catchingUp: true }],
    });
    for await (const { answers } of stream.received) {
      const records = answers.find(({ outcome }) => outcome.case === "records");
      if (records === undefined) continue;
      expect(records.outcome.value).toMatchObject({ nextOffset: 3n, catchingUp: false });
      break;
    }
  });

  test("cannot fill the memory of its leader's node with questions", async () => {
    cluster = await TestCluster.start({ transport: "in-process", nodes: 1, sending: { maxPartitions: 1 } });
    const stream = createClient(ReplicationService, cluster.transportTo(0)).replicate();
    const index = 0;
    const updates = Array.from({ length: 3 }, () => ({ ...UPDATE, index }));
    stream.send({ hello: HELLO, joins: [{ index, topicId: TOPIC, partition: 9 }], updates });
    const failure = async (): Promise<void> => {
      for await (const _ of stream.received);
    };
    await expect(failure()).rejects.toMatchObject({ code: "THROTTLING_QUOTA_EXCEEDED" });
  });
});
