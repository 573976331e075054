import type { MessageInitShape } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import {
  LogService,
  type OffsetQuery,
  type ProduceRequest,
  type ProduceResponseSchema,
  type ReadPosition,
  type ReadRequest,
  type ReadResponseSchema,
} from "@ottla/proto/ottla/v1/log";
import { errorToMessage, GrpcServer, type MessageStream, ServiceRegistry } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { MemoryLog } from "./memory-log.ts";

/** What a test may do to a batch on its way: refuse it, or take it and never answer. */
export type Interference = OttlaError | "store and stay silent" | "stay silent" | undefined;

/** As the gateway has it. */
const MAX_READ_POSITIONS = 1000;

type ProduceAnswer = MessageInitShape<typeof ProduceResponseSchema>;
type ReadAnswer = MessageInitShape<typeof ReadResponseSchema>;

/**
 * A small real server of LogService and of what the SDK needs of AdminService, over gRPC, with its records
 * in memory. Stopping it breaks connections and keeps the records, as a restart of a durable server does.
 */
export class MemoryServer {
  readonly topics = new Map<string, MemoryLog[]>();
  /** Called for every batch before it is stored. */
  interfere: (request: ProduceRequest, attempt: number) => Interference = () => undefined;
  /** As while the metadata store is away. */
  isUnconfirmed = false;
  producersInitialized = 0;
  batchesReceived = 0;
  #server: GrpcServer | undefined;
  port = 0;

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The services, for a transport in the same process. */
  registry(): ServiceRegistry {
    const unused = () => Promise.reject(new OttlaError("UNIMPLEMENTED", "not part of this server"));
    return new ServiceRegistry()
      .add(LogService, {
        append: unused,
        fetch: unused,
        produce: (stream) => this.#produce(stream),
        read: (request, stream, context) => this.#read(request, stream, context.signal),
        listOffsets: async ({ queries }) => ({ answers: queries.map((query) => this.#listOffset(query)) }),
        initProducer: async () => ({ producerId: BigInt(++this.producersInitialized), producerEpoch: 0 }),
      })
      .add(AdminService, {
        createTopic: unused,
        deleteTopic: unused,
        listTopics: unused,
        alterTopicConfig: unused,
        createPartitions: unused,
        deleteRecords: unused,
        electLeaders: unused,
        reassignPartitions: unused,
        listReassignments: unused,
        drainNode: unused,
        recoverCluster: unused,
        resumeNode: unused,
        pauseBalancing: unused,
        resumeBalancing: unused,
        upgradeCluster: unused,
        cordonNode: unused,
        describeCluster: async () => ({ clusterId: "memory", unconfirmed: this.isUnconfirmed }),
        describeTopics: async ({ names }) => ({
          topics: names.map((name) => ({ ...this.#describe(name), unconfirmed: this.isUnconfirmed })),
        }),
      });
  }

  createTopic(name: string, partitions: number): MemoryLog[] {
    const logs = Array.from({ length: partitions }, () => new MemoryLog());
    this.topics.set(name, logs);
    return logs;
  }

  /** Listens, at the same port as before when it was stopped. */
  async start(): Promise<void> {
    this.#server = new GrpcServer({ registries: [this.registry()], clock: systemClock, port: this.port });
    this.port = await this.#server.start();
  }

  async stop(): Promise<void> {
    await this.#server?.stop(0);
    this.#server = undefined;
  }

  async #produce(stream: MessageStream<ProduceAnswer, ProduceRequest>): Promise<void> {
    // Answers of a partition come in order: after one that is left out no other may come on this stream.
    const silent = new Set<string>();
    for await (const request of stream.received) {
      const interference = this.interfere(request, this.batchesReceived++);
      const partition = `${request.topic}/${request.partition}`;
      if (typeof interference === "string") silent.add(partition);
      if (interference === "stay silent") continue;
      const answer = this.#append(request, interference instanceof OttlaError ? interference : undefined);
      if (silent.has(partition)) continue;
      if (!stream.send(answer)) await stream.drained();
    }
  }

  #append(request: ProduceRequest, refusal: OttlaError | undefined): ProduceAnswer {
    const { correlationId, topic, partition, payload } = request;
    try {
      if (refusal !== undefined) throw refusal;
      if (payload.case !== "batch") throw new OttlaError("INVALID_REQUEST", "payload: batch is required");
      const { baseOffset, recordCount } = this.#log(topic, partition).append(payload.value);
      const result = { partition, baseOffset: BigInt(baseOffset), recordCount, logStartOffset: 0n };
      return { correlationId, outcome: { case: "result", value: result } };
    } catch (thrown) {
      return { correlationId, outcome: { case: "error", value: errorToMessage(thrown) } };
    }
  }

  async #read(
    request: ReadRequest,
    stream: MessageStream<ReadAnswer, never>,
    signal: AbortSignal,
  ): Promise<void> {
    const { length } = request.positions;
    if (length > MAX_READ_POSITIONS) {
      throw new OttlaError(
        "INVALID_REQUEST",
        `positions: ${length} entries exceed the limit ${MAX_READ_POSITIONS}`,
      );
    }
    // As the gateway does: a position that it does not know ends the call.
    for (const { topic, partition } of request.positions) this.#log(topic, partition);
    await Promise.all(request.positions.map((position) => this.#follow(position, request, stream, signal)));
  }

  async #follow(
    position: ReadPosition,
    request: ReadRequest,
    stream: MessageStream<ReadAnswer, never>,
    signal: AbortSignal,
  ): Promise<void> {
    const { topic, partition } = position;
    const send = async (answer: ReadAnswer) => {
      if (!stream.send({ topic, partition, ...answer })) await stream.drained();
    };
    try {
      const log = this.#log(topic, partition);
      let offset = startOf(position, log);
      let saidEnd = false;
      while (!signal.aborted) {
        const { bytes, nextOffset } = log.read(offset, request.maxBytes === 0 ? 1 << 20 : request.maxBytes);
        offset = nextOffset;
        const atEnd = offset === log.endOffset;
        if (bytes.length > 0 || (atEnd && !saidEnd)) {
          await send({ batches: bytes, nextOffset: BigInt(offset), highWatermark: BigInt(log.endOffset) });
        }
        saidEnd ||= atEnd;
        if (atEnd) await Promise.race([log.grown(), aborted(signal)]);
      }
    } catch (thrown) {
      if (!signal.aborted) await send({ error: errorToMessage(thrown) });
      await aborted(signal);
    }
  }

  #listOffset({ topic, partition, at }: OffsetQuery) {
    const log = this.#log(topic, partition);
    let offset = at.case === "earliest" ? log.startOffset : log.endOffset;
    if (at.case === "timestampMs") offset = log.offsetForTimestamp(Number(at.value));
    return { topic, partition, offset: BigInt(offset), timestampMs: -1n };
  }

  #describe(name: string) {
    const logs = this.topics.get(name);
    if (logs === undefined) {
      return {
        name,
        error: errorToMessage(new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `no topic ${name}`)),
      };
    }
    return { name, partitions: logs.map((_, partition) => ({ partition, leader: 1 })) };
  }

  #log(topic: string, partition: number): MemoryLog {
    const log = this.topics.get(topic)?.[partition];
    if (log === undefined)
      throw new OttlaError("UNKNOWN_TOPIC_OR_PARTITION", `no partition ${topic}-${partition}`);
    return log;
  }
}

function startOf({ start }: ReadPosition, log: MemoryLog): number {
  if (start.case === "offset") return Number(start.value);
  return start.case === "latest" ? log.endOffset : log.startOffset;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
