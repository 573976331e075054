import { systemClock } from "@ottla/runtime";
import { expect, test } from "vitest";
import { appendTexts, batchOf, startTestNode } from "./serve-support.ts";

test("a stop answers appends under way, ends readers and waiting fetches, and is quick", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const reader = node.log.read({
    positions: [{ topic: "t", partition: 0, start: { case: "latest", value: true } }],
  });
  const received = reader.received[Symbol.asyncIterator]();
  await received.next();
  const readerEnds = received.next().catch((thrown: unknown) => thrown);
  const fetchEnds = node.log
    .fetch({ topic: "t", partition: 0, offset: 0n, maxWaitMs: 60_000, minBytes: 1_000_000 })
    .catch((thrown: unknown) => thrown);
  const producer = node.log.produce();
  const answers: (string | undefined)[] = [];
  const producerEnds = (async () => {
    for await (const { outcome } of producer.received) answers.push(outcome.case);
  })().catch((thrown: unknown) => thrown);
  for (let number = 0; number < 20; number += 1) {
    const payload = { case: "batch" as const, value: batchOf([`${number}`]) };
    producer.send({ correlationId: BigInt(number), topic: "t", partition: 0, payload });
  }
  await expect.poll(() => answers.length).toBeGreaterThan(0);

  const startedMs = systemClock.monotonic();
  const report = await node.running.lifecycle.stop(20_000);
  expect(report).toMatchObject({ clean: true, overran: [] });
  expect(systemClock.monotonic() - startedMs).toBeLessThan(5_000);
  await Promise.all([readerEnds, fetchEnds, producerEnds]);
  expect(new Set(answers)).toEqual(new Set(["result"]));

  const after = await startTestNode({ dataDir: node.dataDir });
  const { results } = await appendTexts(after, "t", ["next"]);
  expect(Number(results[0]?.baseOffset)).toBeGreaterThanOrEqual(answers.length);
});

test("readiness fails as soon as the stop begins", async () => {
  const node = await startTestNode();
  await node.admin.createTopic({ name: "t" });
  const stopping = node.running.lifecycle.stop(10_000);
  const report = await node.running.readiness.report();
  expect(report.ready).toBe(false);
  expect(report.checks.find(({ name }) => name === "shutdown")).toMatchObject({ ready: false });
  await stopping;
});
