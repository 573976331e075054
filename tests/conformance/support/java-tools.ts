import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { javaClassPath, type Outcome } from "./programs.ts";

/** A small JVM that starts quickly: what runs in it is short. */
export const JAVA_FLAGS = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", javaClassPath];

const tools = {
  "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
  "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
  "kafka-topics": "org.apache.kafka.tools.TopicCommand",
  "kafka-configs": "kafka.admin.ConfigCommand",
  "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
  "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
  "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
  "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
  "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
  "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
  "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
  "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
  "kafka-dump-log": "kafka.tools.DumpLogSegments",
} as const;

export type KafkaTool = keyof typeof tools;

/** Kafka's command-line tools, run one after another in one JVM: see java/ToolServer.java. */
export class JavaTools {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #replies: AsyncIterator<string>;
  #errors = "";

  constructor() {
    this.#child = spawn("java", [...JAVA_FLAGS, "ToolServer"], { stdio: "pipe" });
    this.#replies = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
  }

  /** Runs a main class; returns its exit code and what it wrote. */
  async runMain(main: string, parameters: readonly string[], input = ""): Promise<Outcome> {
    this.#child.stdin.write(`${JSON.stringify({ main, arguments: parameters, input })}\n`);
    const reply = await this.#replies.next();
    if (reply.done === true) throw new Error(`the JVM ended: ${this.#errors}`);
    return JSON.parse(reply.value) as Outcome;
  }

  /** Runs a tool that must succeed, its parameters between blanks; returns what it wrote. */
  async run(tool: KafkaTool, parameters: string, input = ""): Promise<string> {
    const outcome = await this.runMain(tools[tool], words(parameters), input);
    if (outcome.exitCode === 0) return outcome.output;
    throw new Error(
      `${tool} ${parameters} ended with ${outcome.exitCode}\n${outcome.output}\n${outcome.errors}`,
    );
  }

  /** Runs a tool that must fail; returns all that it wrote. */
  async runFailing(tool: KafkaTool, parameters: string): Promise<string> {
    const { exitCode, output, errors } = await this.runMain(tools[tool], words(parameters));
    if (exitCode === 0) throw new Error(`${tool} ${parameters} succeeded\n${output}\n${errors}`);
    return `${output}\n${errors}`;
  }

  async close(): Promise<void> {
    const ended = once(this.#child, "close");
    this.#child.stdin.end();
    await ended;
  }
}

function words(text: string): string[] {
  return text.split(" ").filter((word) => word !== "");
}
