import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, OttlaError } from "@ottla/errors";
import type {
  AppendAnswerSchema,
  AppendEntry,
  AppendRequest,
  AppendResponseSchema,
} from "@ottla/proto/ottla/internal/v1/storage";
import type { MessageStream } from "@ottla/rpc";
import type { Clock, Tracer } from "@ottla/runtime";
import { tracedAppend } from "./append-trace.ts";
import type { LeaderLookup } from "./leader-lookup.ts";
import type { PartitionLeader } from "./partition-leader.ts";
import { asRefusal, errorFields, toStorageError } from "./refusals.ts";
import type { StorageMetrics } from "./storage-metrics.ts";
import type { AppendAcknowledgement } from "./waiting-appends.ts";

type AnswerInit = MessageInitShape<typeof AppendAnswerSchema>;

export interface AppendSessionOptions {
  readonly stream: MessageStream<MessageInitShape<typeof AppendResponseSchema>, AppendRequest>;
  readonly leaders: LeaderLookup;
  readonly clock: Clock;
  readonly metrics: StorageMetrics;
  /** How many bytes of unanswered batches the gateway may have here. */
  readonly creditBytes: number;
  readonly tracer?: Tracer | undefined;
}

interface Arrived {
  readonly entry: AppendEntry;
  readonly batch: Uint8Array;
}

/** One gateway's stream of appends. Answers of one turn of the event loop travel in one message. */
export class AppendSession {
  readonly #options: AppendSessionOptions;
  #answers: AnswerInit[] = [];
  #flushScheduled = false;
  #blocked = false;
  #unanswered = 0;
  #unansweredBytes = 0;
  #onQuiet: (() => void) | undefined;
  /** Entries of partitions that are not led here yet, in order: what comes later for one waits behind. */
  readonly #deferred = new Map<string, Arrived[]>();

  constructor(options: AppendSessionOptions) {
    this.#options = options;
  }

  /** Serves until the gateway ends its side and all its appends are answered. */
  async run(): Promise<void> {
    const { stream, creditBytes } = this.#options;
    stream.send({ creditBytes: BigInt(creditBytes) });
    for await (const request of stream.received) this.#receive(request);
    if (this.#unanswered > 0) {
      await new Promise<void>((resolve) => {
        this.#onQuiet = resolve;
      });
    }
    this.#flush();
  }

  #receive(request: AppendRequest): void {
    const { entries, batches } = request;
    if (entries.length !== batches.length) {
      throw invalidRequest(
        "batches",
        `${batches.length} batches for ${entries.length} entries`,
        entries.length,
      );
    }
    entries.forEach((entry, index) => {
      const batch = batches[index] as Uint8Array;
      this.#takeCredit(batch.length);
      const arrived = { entry, batch };
      const waiting = this.#deferred.size === 0 ? undefined : this.#deferred.get(keyOf(entry));
      if (waiting !== undefined) {
        waiting.push(arrived);
        return;
      }
      const leader = this.#options.leaders.find(entry.topicId, entry.partition, entry.leaderEpoch);
      if (leader === undefined) void this.#defer(arrived);
      else this.#append(leader, arrived);
    });
  }

  #takeCredit(sizeBytes: number): void {
    const { creditBytes } = this.#options;
    this.#unanswered += 1;
    this.#unansweredBytes += sizeBytes;
    // One batch may exceed the credit when it is alone, so that no batch can get stuck.
    if (this.#unansweredBytes > creditBytes && this.#unanswered > 1) {
      throw new OttlaError(
        "THROTTLING_QUOTA_EXCEEDED",
        `${this.#unansweredBytes} unanswered bytes exceed the granted ${creditBytes}`,
        { metadata: { limit: String(creditBytes) } },
      );
    }
  }

  #append(leader: PartitionLeader, { entry, batch }: Arrived): void {
    const { clock, metrics } = this.#options;
    const startedMs = clock.monotonic();
    const trace = tracedAppend(this.#options.tracer, entry, batch.length);
    try {
      const command = {
        leaderEpoch: entry.leaderEpoch,
        batch,
        validated: entry.validated,
        acks: entry.acks,
        timeoutMs: entry.timeoutMs,
        expectedEndOffset:
          entry.expectedEndOffset === undefined ? undefined : Number(entry.expectedEndOffset),
        ownerEpoch: entry.ownerEpoch === undefined ? undefined : Number(entry.ownerEpoch),
        beginsOwnership: entry.beginsOwnership,
        onSynced: trace?.synced,
      };
      leader.append(command, (result) => {
        trace?.done(result);
        metrics.observeAppend(clock.monotonic() - startedMs, batch.length);
        this.#answer(entry, batch, result);
      });
    } catch (thrown) {
      const refusal = asRefusal(toStorageError(thrown));
      trace?.done(refusal);
      this.#answer(entry, batch, refusal);
    }
  }

  async #defer(first: Arrived): Promise<void> {
    const { entry } = first;
    const key = keyOf(entry);
    const waiting = [first];
    this.#deferred.set(key, waiting);
    const found = await this.#options.leaders
      .waitFor(entry.topicId, entry.partition, entry.leaderEpoch)
      .catch((thrown: unknown) => asRefusal(toStorageError(thrown)));
    this.#deferred.delete(key);
    for (const arrived of waiting) {
      if (found instanceof OttlaError) this.#answer(arrived.entry, arrived.batch, found);
      else this.#append(found, arrived);
    }
  }

  #answer(entry: AppendEntry, batch: Uint8Array, result: AppendAcknowledgement | OttlaError): void {
    this.#unanswered -= 1;
    this.#unansweredBytes -= batch.length;
    const { correlationId } = entry;
    if (result instanceof OttlaError) {
      this.#options.metrics.countRefusedAppend(result.code);
      this.#answers.push({ correlationId, error: errorFields(result) });
    } else {
      this.#answers.push({
        correlationId,
        baseOffset: BigInt(result.baseOffset),
        logAppendTimeMs: BigInt(result.logAppendTimeMs),
        logStartOffset: BigInt(result.logStartOffset),
      });
    }
    this.#scheduleFlush();
    if (this.#unanswered === 0) this.#onQuiet?.();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#blocked) return;
    this.#flushScheduled = true;
    this.#options.clock.nextTurn(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#answers.length === 0 || this.#blocked) return;
    const answers = this.#answers;
    this.#answers = [];
    if (this.#options.stream.send({ answers })) return;
    // Answers that come meanwhile queue here: the credit bounds how many there can be.
    this.#blocked = true;
    this.#options.stream.drained().then(
      () => {
        this.#blocked = false;
        this.#flush();
      },
      // The loop over `received` fails with the same error and ends the session.
      () => undefined,
    );
  }
}

function keyOf(entry: AppendEntry): string {
  return `${entry.topicId}-${entry.partition}`;
}
