import {
  type Connection,
  type ConnectionHandlers,
  createMetricsRegistry,
  LimitedLogger,
  nullLogger,
  VirtualClock,
} from "@ottla/runtime";
import { expect, test } from "vitest";
import { KafkaDispatcher } from "./dispatcher.ts";
import { KafkaConnection } from "./kafka-connection.ts";
import { KafkaFailures } from "./kafka-failures.ts";
import { KafkaMetrics } from "./kafka-metrics.ts";
import { RequestMemory } from "./request-memory.ts";

class Line implements Connection {
  readonly remoteAddress = "peer";
  readonly localAddress = "here";
  readonly localPort = 9092;
  readonly queuedBytes = 0;
  isPaused = false;
  handlers: ConnectionHandlers | undefined;
  start(handlers: ConnectionHandlers): void {
    this.handlers = handlers;
  }
  write(): boolean {
    return true;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  end(): void {
    this.destroy();
  }
  destroy(): void {
    this.handlers?.onClose(undefined);
  }
}

function openConnections(count: number) {
  const clock = new VirtualClock();
  const failures = new KafkaFailures(new LimitedLogger({ logger: nullLogger, clock }));
  const metrics = new KafkaMetrics(createMetricsRegistry());
  const dispatcher = new KafkaDispatcher({ handlers: [], metrics, failures, clock });
  const memory = new RequestMemory(30);
  const limits = {
    maxRequestBytes: 100,
    maxUnansweredRequests: 10,
    maxUnansweredBytes: 100,
    idleTimeoutMs: 600_000,
  };
  const closed: (string | undefined)[] = [];
  const connections = Array.from({ length: count }, () => new Line()).map((line, id) => {
    const onClosed = (reason: { code: string } | undefined): void => void closed.push(reason?.code);
    const connection = new KafkaConnection({
      id,
      connection: line,
      dispatcher,
      limits,
      memory,
      clock,
      onClosed,
    });
    connection.start();
    line.handlers?.onData(Buffer.concat([Buffer.from([0, 0, 0, 100]), Buffer.alloc(20)]));
    return { line, connection };
  });
  return { connections, clock, memory, closed };
}

test("a client that stops part-way while memory is short loses its connection; the next one reads", () => {
  const { connections, clock, memory, closed } = openConnections(2);
  const [slow, next] = connections;
  expect([slow?.line.isPaused, next?.line.isPaused]).toEqual([false, true]);
  for (let look = 0; look < 4; look++) {
    expect(closed).toEqual([]);
    for (const each of [next, slow]) each?.connection.closeIfIdle(clock.monotonic());
  }
  expect(closed).toEqual(["REQUEST_TIMED_OUT"]);
  expect(next?.line.isPaused).toBe(false);
  expect(memory.heldBytes).toBe(20);
});

test("a stopping gateway reads on, or it would wait in vain for the end of a client that was held up", () => {
  const { connections } = openConnections(2);
  const [, held] = connections;
  expect(held?.line.isPaused).toBe(true);
  held?.connection.drain();
  expect(held?.line.isPaused).toBe(false);
});
