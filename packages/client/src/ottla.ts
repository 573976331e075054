import { OttlaError } from "@ottla/errors";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { GroupService } from "@ottla/proto/ottla/v1/group";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcTransport, type Transport } from "@ottla/rpc";
import { type Clock, type Random, systemClock, systemRandom } from "@ottla/runtime";
import { addressList } from "./address-list.ts";
import { Admin, noPartitionsYet } from "./admin/admin.ts";
import { GroupAdmin } from "./admin/group-admin.ts";
import { Consumer } from "./consume/consumer.ts";
import { type ConsumerOptions, consumerSettings } from "./consume/consumer-options.ts";
import { GroupConsumer } from "./consume/group-consumer.ts";
import { type GroupConsumerOptions, groupConsumerSettings } from "./consume/group-consumer-options.ts";
import { Producer } from "./produce/producer.ts";
import { type ProducerOptions, producerSettings } from "./produce/producer-options.ts";
import type { Refusal } from "./produce/sender.ts";
import type { TopicFacts } from "./produce/topic-table.ts";
import { RateLimit } from "./rate-limit.ts";
import type { ClientTracer } from "./tracing.ts";
import { UnreachableWarning } from "./unreachable-warning.ts";

/**
 * What the client says of itself while it works: a lost connection, a batch that is refused and tried again.
 * pino's logger satisfies it.
 */
export interface ClientLogger {
  warn(facts: object, message: string): void;
  debug(facts: object, message: string): void;
}

/** What a connection is used for: bulk goes one way on each. */
export type ConnectionUse = "produce" | "read" | "calls";

export interface OttlaOptions {
  /**
   * "host:port" of any gateway, or of what stands before them. Several gateways without such are a list, or
   * have commas between: a client keeps to one of them, and where that is lost the next is taken. Default
   * "localhost:50051".
   */
  readonly address?: string | readonly string[] | undefined;
  /** Sent with every call, for the server's logs. Default "ottla-client". */
  readonly clientId?: string | undefined;
  /** Default: only that the server cannot be reached for long is told, once, as a warning of the process. */
  readonly logger?: ClientLogger | undefined;
  /** The deadline of calls that are not streams. Default 30 s. */
  readonly callTimeoutMs?: number | undefined;
  /**
   * Spans of what is sent and received, and their trace in the records' headers. OpenTelemetry's
   * `trace.getTracer("my-service")` does. Default: nothing is traced.
   */
  readonly tracer?: ClientTracer | undefined;
  /** For tests: time, randomness and the connections themselves. */
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly openTransport?: ((use: ConnectionUse) => Transport) | undefined;
}

/** The window for what a server sends: with the default one a download runs at a third of the speed. */
const READ_WINDOW_BYTES = 8 * 1024 * 1024;
/** How often the same refusal of batches is told, while they are tried again. */
const REFUSAL_PERIOD_MS = 10_000;

/**
 * A client of one Ottla cluster: the start of everything. It connects when something is
 * first asked for. Each producer and each consumer has a connection of its own, so that
 * bulk in one direction does not hold up the other.
 */
export class Ottla {
  /** Where it connects to: of several addresses in the order in which they are tried, at random. */
  readonly address: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #interruptions: RateLimit;
  readonly #unreachable: UnreachableWarning | undefined;
  readonly #options: OttlaOptions;
  readonly #open = new Set<{ close(): Promise<void> }>();
  #calls: Transport | undefined;
  #closed = false;

  constructor(options: OttlaOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    if (options.logger === undefined) {
      this.#unreachable = new UnreachableWarning(this.#clock, (reason) => this.#warn(reason));
    }
    this.address = addressList(options.address, this.#random);
    this.#interruptions = new RateLimit(this.#clock, REFUSAL_PERIOD_MS);
  }

  producer(options: ProducerOptions = {}): Producer {
    const settings = producerSettings(options);
    const transport = this.#openTransport("produce");
    const log = createClient(LogService, transport);
    const admin = this.admin();
    const callOptions = this.#callOptions();
    const refusals = new RateLimit(this.#clock, REFUSAL_PERIOD_MS);
    const producer: Producer = new Producer(settings, {
      clock: this.#clock,
      random: this.#random,
      tracer: this.#options.tracer,
      openStream: () => log.produce({ metadata: callOptions.metadata }),
      initProducer: () => log.initProducer({}, callOptions),
      describeTopic: (topic) => topicFacts(admin, topic),
      onConnectionLost: (error) => this.#connectionLost("produce", error),
      onRefused: (refusal) => this.#refused(refusal, refusals),
      closeTransport: () => this.#closeTransport(transport, producer),
    });
    this.#open.add(producer);
    return producer;
  }

  /** With a group: a member of it, which shares topics with the others. Without: reads what it is told to. */
  consumer(options: GroupConsumerOptions): GroupConsumer;
  consumer(options?: ConsumerOptions): Consumer;
  consumer(options: ConsumerOptions | GroupConsumerOptions = {}): Consumer | GroupConsumer {
    return "group" in options ? this.#groupConsumer(options) : this.#consumer(options);
  }

  #groupConsumer(options: GroupConsumerOptions): GroupConsumer {
    const settings = groupConsumerSettings(options);
    const transport = this.#openTransport("read");
    const client = createClient(GroupService, transport);
    const { metadata } = this.#callOptions();
    const consumer: GroupConsumer = new GroupConsumer(settings, {
      clock: this.#clock,
      random: this.#random,
      tracer: this.#options.tracer,
      openConsume: () => client.consume({ metadata }),
      onConnectionLost: (error) => this.#connectionLost("read", error),
      closeTransport: () => this.#closeTransport(transport, consumer),
    });
    this.#open.add(consumer);
    return consumer;
  }

  #consumer(options: ConsumerOptions): Consumer {
    const settings = consumerSettings(options);
    const transport = this.#openTransport("read");
    const log = createClient(LogService, transport);
    const admin = this.admin();
    const callOptions = this.#callOptions();
    const consumer: Consumer = new Consumer(settings, {
      clock: this.#clock,
      random: this.#random,
      tracer: this.#options.tracer,
      offsetForTimestamp: async (topic, partition, timestampMs) => {
        const [answer] = await admin.listOffsets([{ topic, partition, at: { timestampMs } }]);
        return answer?.offset ?? -1n;
      },
      openRead: (request) => log.read(request, { metadata: callOptions.metadata }),
      countPartitions: (topic) => admin.countPartitions(topic),
      onConnectionLost: (error) => this.#connectionLost("read", error),
      closeTransport: () => this.#closeTransport(transport, consumer),
    });
    this.#open.add(consumer);
    return consumer;
  }

  admin(): Admin {
    this.#calls ??= this.#openTransport("calls");
    return new Admin({
      admin: createClient(AdminService, this.#calls),
      log: createClient(LogService, this.#calls),
      callOptions: this.#callOptions(),
    });
  }

  groups(): GroupAdmin {
    this.#calls ??= this.#openTransport("calls");
    return new GroupAdmin(createClient(GroupService, this.#calls), this.#callOptions());
  }

  /**
   * Closes every producer (flushing it), consumer and connection. Rejects with the first failure of a flush.
   */
  async close(): Promise<void> {
    this.#closed = true;
    const outcomes = await Promise.allSettled([...this.#open].map((part) => part.close()));
    await this.#calls?.close();
    this.#calls = undefined;
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  #openTransport(use: ConnectionUse): Transport {
    if (this.#closed) throw new OttlaError("CANCELLED", "the client is closed");
    const { openTransport } = this.#options;
    if (openTransport !== undefined) return openTransport(use);
    return new GrpcTransport({
      address: this.address,
      clock: this.#clock,
      ...(use === "read" ? { windowBytes: READ_WINDOW_BYTES } : {}),
    });
  }

  async #closeTransport(transport: Transport, user: { close(): Promise<void> }): Promise<void> {
    this.#open.delete(user);
    await transport.close();
  }

  #callOptions(): { timeoutMs: number; metadata: Record<string, string> } {
    return {
      timeoutMs: this.#options.callTimeoutMs ?? 30_000,
      metadata: { "ottla-client-id": this.#options.clientId ?? "ottla-client" },
    };
  }

  #refused({ topic, partition, error }: Refusal, limit: RateLimit): void {
    if (!limit.admits(error.code)) return;
    const { code, message: reason } = error;
    this.#options.logger?.warn({ topic, partition, code, reason }, "batch refused; trying again");
  }

  #warn(reason: string): void {
    const hint = "the client goes on trying; give it a logger to hear more";
    process.emitWarning(`${reason}: is Ottla running there? (${hint})`, {
      type: "OttlaWarning",
      code: "OTTLA_UNREACHABLE",
    });
  }

  #connectionLost(use: ConnectionUse, error: OttlaError): void {
    this.#unreachable?.failed(error);
    if (!this.#interruptions.admits(`${use} ${error.code}`)) return;
    const { logger } = this.#options;
    logger?.warn(
      { address: this.address, use, code: error.code, reason: error.message },
      use === "read" ? "reading was interrupted; trying again" : "connection lost; trying again",
    );
  }
}

/** What a producer has to know of a topic. */
async function topicFacts(admin: Admin, name: string): Promise<TopicFacts> {
  const [topic] = await admin.describeTopics([name]);
  const partitionCount = topic?.partitions.length ?? 0;
  if (partitionCount === 0) throw noPartitionsYet(name);
  const limit = Number(topic?.configs.find((entry) => entry.name === "max.message.bytes")?.value);
  return {
    partitionCount,
    maxMessageBytes: Number.isSafeInteger(limit) && limit > 0 ? limit : undefined,
    unconfirmed: topic?.unconfirmed ?? false,
  };
}
