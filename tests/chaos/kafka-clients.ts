import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pythonProgram } from "../conformance/support/programs.ts";
import { endWithUs } from "../support/children.ts";
import type { ClientsOptions } from "./sdk-clients.ts";

const KAFKA_READER = "kafka-reader";
const KAFKA_GROUP = "kafka-group";
const GROUP_MEMBERS = 2;

/**
 * An idempotent producer, a reader and a consumer group over the Kafka protocol: librdkafka,
 * in processes of their own.
 */
export class KafkaClients {
  readonly readers: readonly string[] = [KAFKA_READER, KAFKA_GROUP];
  readonly #options: ClientsOptions;
  readonly #children: ChildProcess[] = [];
  #producer: ChildProcess | undefined;
  #isOver = false;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  start(): void {
    const { topic, history, addresses, recordsPerSecond } = this.#options;
    const partitions = String(history.partitionCount);
    for (let partition = 0; partition < history.partitionCount; partition += 1)
      history.addProducer(`kafka-${partition}`, partition);
    const target = [addresses.join(","), topic, partitions];
    const rate = String(recordsPerSecond * history.partitionCount);
    this.#producer = this.#run("producer.py", [...target, rate]);
    this.#run("reader.py", target);
    const member = [addresses.join(","), topic, KAFKA_GROUP];
    for (let count = 0; count < GROUP_MEMBERS; count += 1) this.#run("group_member.py", member);
  }

  /** Resolves when all that was sent is acknowledged. The reader goes on. */
  async stopProducing(): Promise<void> {
    this.#isOver = true;
    const producer = this.#producer;
    if (producer === undefined || producer.exitCode !== null) return;
    const closed = once(producer, "close");
    producer.kill("SIGTERM");
    await closed;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  }

  #run(script: string, parameters: readonly string[]): ChildProcess {
    const { history } = this.#options;
    const path = join(import.meta.dirname, "python", script);
    const child = spawn(pythonProgram, [path, ...parameters], { stdio: ["ignore", "pipe", "pipe"] });
    endWithUs(child);
    createInterface({ input: child.stdout }).on("line", (line) => this.#take(line));
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors = `${errors}${chunk.toString()}`.slice(-2_000);
    });
    child.once("close", () => {
      if (!this.#isOver) history.fault(`${script} ended by itself: ${errors}`);
    });
    this.#children.push(child);
    return child;
  }

  #take(line: string): void {
    const { history } = this.#options;
    const [kind, ...words] = line.split(" ");
    const [first = "", second = "", third = "", fourth = ""] = words;
    if (kind === "ack") {
      const value = { producer: `kafka-${first}`, sequence: Number(second) };
      history.acknowledged(value, Number(third), Number(fourth));
    } else if (kind === "read") {
      history.read(KAFKA_READER, Number(first), Number(second), third);
    } else if (kind === "group") {
      history.delivered(KAFKA_GROUP, Number(first), Number(second), third);
    } else if (kind === "committed") {
      history.committed(KAFKA_GROUP, Number(first), Number(second));
    } else if (kind === "assigned") {
      history.assigned(KAFKA_GROUP, Number(first), Number(second));
    } else if (kind === "lost") {
      history.fault(`kafka-${first} lost record ${words.slice(1).join(" ")}`);
    } else if (kind === "failed") {
      history.fault(`a Kafka reader cannot go on: partition ${words.join(" ")}`);
    } else if (line !== "done 0") {
      history.fault(`a Kafka client says: ${line}`);
    }
  }
}
