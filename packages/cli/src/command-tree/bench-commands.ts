import type { Command } from "commander";
import type { BenchConsumeFlags } from "../bench/bench-consume.ts";
import type { BenchLatencyFlags } from "../bench/bench-latency.ts";
import type { BenchProduceFlags } from "../bench/bench-produce.ts";
import { withOutput } from "../options.ts";
import { type CommandTree, examples } from "./command-tree.ts";

export function addBenchCommands(program: Command, tree: CommandTree): void {
  const bench = program.command("bench").description("measure a cluster with this client, in bounded memory");
  addProduce(bench, tree);
  addConsume(bench, tree);
  addLatency(bench, tree);
}

function addProduce(bench: Command, { environment, run }: CommandTree): void {
  withOutput(bench.command("produce"))
    .description("one producer, as fast as it goes or at a rate")
    .option("-t, --topic <name>", "topic; created when it does not exist", "bench")
    .option("--partitions <number>", "partitions of a topic that is created", "4")
    .option("-n, --records <number>", "how many records", "1000000")
    .option("-s, --size <bytes>", "size of a value", "1KiB")
    .option("--rate <records/s>", "send at this rate (default: as fast as it goes)")
    .option("-z, --compression <codec>", "none, gzip, snappy, lz4 or zstd", "none")
    .option("--acks <acks>", "all, leader (1) or none (0)", "all")
    .option("--linger-ms <ms>", "how long a batch waits for more records (default 5)")
    .option("--batch-bytes <bytes>", "size of a batch (default 512KiB)")
    .addHelpText(
      "after",
      examples(["ottla bench produce", "ottla bench produce -n 10_000_000 -s 100 -z lz4"]),
    )
    .action(
      run(async (flags: BenchProduceFlags) => {
        const { benchProduce } = await import("../bench/bench-produce.ts");
        return benchProduce(flags, environment);
      }),
    );
}

function addConsume(bench: Command, { environment, run }: CommandTree): void {
  withOutput(bench.command("consume"))
    .description("one consumer, from the start of a topic to its end")
    .option("-t, --topic <name>", "topic", "bench")
    .option("-n, --records <number>", "stop after so many records")
    .addHelpText("after", examples(["ottla bench consume", "ottla bench consume -t orders -n 1_000_000"]))
    .action(
      run(async (flags: BenchConsumeFlags) => {
        const { benchConsume } = await import("../bench/bench-consume.ts");
        return benchConsume(flags, environment);
      }),
    );
}

function addLatency(bench: Command, { environment, run }: CommandTree): void {
  withOutput(bench.command("latency"))
    .description("one record at a time, from send to a consumer")
    .option("-t, --topic <name>", "topic; created when it does not exist", "bench-latency")
    .option("-n, --records <number>", "how many records", "10000")
    .option("-s, --size <bytes>", "size of a value", "1KiB")
    .option("--acks <acks>", "all, leader (1) or none (0)", "all")
    .addHelpText("after", examples(["ottla bench latency", "ottla bench latency -n 100_000 --output json"]))
    .action(
      run(async (flags: BenchLatencyFlags) => {
        const { benchLatency } = await import("../bench/bench-latency.ts");
        return benchLatency(flags, environment);
      }),
    );
}
