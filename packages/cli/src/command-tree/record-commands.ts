import type { Command } from "commander";
import type { ConsumeFlags } from "../commands/consume.ts";
import type { ProduceFlags } from "../commands/produce.ts";
import { collect, withAddress } from "../options.ts";
import { FORMAT_LETTERS } from "../output/format-letters.ts";
import { type CommandTree, examples } from "./command-tree.ts";

export function addRecordCommands(program: Command, tree: CommandTree): void {
  const { environment, run } = tree;
  withAddress(program.command("produce"))
    .description("send records, from files or standard input, and wait until they are acknowledged")
    .argument("<topic>", "topic to send to")
    .argument("[files...]", "files to read, one after another; - or none is standard input")
    .option(
      "-i, --input <format>",
      "lines (each ends with \\n, all else is kept), ndjson or length-prefixed (four bytes, big-endian)",
      "lines",
    )
    .option("-k, --key-separator <text>", "what stands between key and value in a line (escapes: \\t, \\x1f)")
    .option("-H, --header <name=value>", "header of every record; may be repeated", collect)
    .option("-p, --partition <number>", "send everything to this partition")
    .option("-z, --compression <codec>", "none, gzip, snappy, lz4 or zstd", "none")
    .option("--acks <acks>", "all, leader (1) or none (0)", "all")
    .option("-Z, --empty-as-null", "send an empty value as null (a tombstone)")
    .option("--linger-ms <ms>", "how long a batch waits for more records (default 5)")
    .option("--batch-bytes <bytes>", "size of a batch (default 512KiB)")
    .option("--max-record-bytes <bytes>", "refuse longer lines and values", "16MiB")
    .option("-q, --quiet", "no progress and no summary")
    .addHelpText(
      "after",
      examples([
        "echo 'hello, world' | ottla produce greetings",
        "ottla produce orders -k : orders.txt",
        "ottla produce orders --input ndjson -z zstd < orders.ndjson",
        "ottla consume orders -o start -e --json | ottla produce orders-copy --input ndjson",
      ]),
    )
    .action(
      run(async (topic: string, files: string[], flags: ProduceFlags) => {
        const { runProduce } = await import("../commands/produce.ts");
        return runProduce(topic, files, flags, environment);
      }),
    );
  addConsume(program, tree);
}

function addConsume(program: Command, { environment, run }: CommandTree): void {
  withAddress(program.command("consume"))
    .description("read records and write them to standard output")
    .argument("[topics...]", "topics to read")
    .option(
      "-o, --offset <position>",
      "start, end, an offset N, -N for the last N records, or @time (default: end; with -g: start)",
    )
    .option("-g, --group <group>", "share topics with the other members of this group, and keep its place")
    .option("--pattern <regex>", "with -g: all topics whose whole name matches, those that come later too")
    .option("-p, --partition <numbers>", "only these partitions, such as 0 or 0,3")
    .option("-n, --count <records>", "stop after so many records")
    .option(
      "-e, --exit-at-end",
      "stop at the end of every partition; with -g: when the group has read what is there now",
    )
    .option("-f, --format <format>", "how a record is written, such as '%p %o %k: %s\\n'")
    .option("--json", "write records as NDJSON")
    .option("-q, --quiet", "no progress and no summary")
    .addHelpText("after", `\nFormat:\n${formatText()}${TIME_TEXT}`)
    .addHelpText(
      "after",
      examples([
        "ottla consume greetings -o start -e",
        "ottla consume orders -o -10 -f '%t-%p@%o %k=%s\\n'",
        "ottla consume orders -o @2026-01-31T12:00:00Z -p 0,1 --json",
        "ottla consume orders -o @-15m -n 100",
        "ottla consume orders refunds -g billing",
        "ottla consume -g audit --pattern '(orders|refunds)-.*' --json",
      ]),
    )
    .action(
      run(async (topics: string[], flags: ConsumeFlags) => {
        const { runConsume } = await import("../commands/consume.ts");
        return runConsume(topics, flags, environment);
      }),
    );
}

const TIME_TEXT = `
Times after @ are milliseconds since 1970, a time such as 2026-01-31T12:00:00Z, or how long ago:
@-90s, @-15m, @-2h, @-7d.
`;

function formatText(): string {
  const letters = Object.entries(FORMAT_LETTERS).map(([letter, meaning]) => `  %${letter}  ${meaning}\n`);
  return `${letters.join("")}  \\n \\t \\r \\0 \\e \\\\ \\xHH  as in C\n`;
}
