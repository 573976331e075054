import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { JavaTools, type KafkaTool } from "./support/java-tools.ts";
import { haveClients } from "./support/programs.ts";

describe.runIf(haveClients("java"))("Apache Kafka's command-line tools", () => {
  let server: OttlaServer;
  let tools: JavaTools;

  beforeAll(async () => {
    tools = new JavaTools();
    server = await OttlaServer.start();
  });

  afterAll(async () => {
    await tools.close();
    await server.stop();
  });

  function run(tool: KafkaTool, parameters: string, input = ""): Promise<string> {
    return tools.run(tool, `--bootstrap-server ${server.kafkaAddress} ${parameters}`, input);
  }

  function runFailing(tool: KafkaTool, parameters: string): Promise<string> {
    return tools.runFailing(tool, `--bootstrap-server ${server.kafkaAddress} ${parameters}`);
  }

  async function produceLines(topic: string, lines: readonly string[]): Promise<void> {
    await run("kafka-console-producer", `--topic ${topic}`, `${lines.join("\n")}\n`);
  }

  test("console producer with default settings, console consumer from the earliest offset", async () => {
    const lines = Array.from({ length: 2_000 }, (_, index) => `line ${index}`);
    await produceLines("console", lines);
    const place = "--topic console --partition 0 --offset earliest";
    const output = await run("kafka-console-consumer", `${place} --max-messages 2000`);
    expect(output).toBe(`${lines.join("\n")}\n`);
  });

  test("console tools with keys, headers and timestamps", async () => {
    const lines = "a:1,b:2\tkey\tvalue\nNULL\tNULL\tNULL\n";
    const parse = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
    const reader = parse.map((property) => `--reader-property ${property}`).join(" ");
    await run("kafka-console-producer", `--topic console-keys ${reader}`, lines);
    const print = ["print.key=true", "print.headers=true", "print.offset=true", "print.timestamp=true"];
    const formatter = print.map((property) => `--formatter-property ${property}`).join(" ");
    const place = "--topic console-keys --partition 0 --offset 0 --max-messages 2";
    const output = await run("kafka-console-consumer", `${place} ${formatter}`);
    const [first, second] = output.trimEnd().split("\n");
    expect(first).toMatch(/^CreateTime:\d+\tOffset:0\ta:1,b:2\tkey\tvalue$/);
    expect(second).toMatch(/^CreateTime:\d+\tOffset:1\tNO_HEADERS\tnull\tnull$/);
  });

  test("kafka-topics creates, lists, describes, extends and deletes", async () => {
    const create = "--create --topic tools.topic --partitions 2 --config retention.ms=7200000";
    expect(await run("kafka-topics", create)).toContain("Created topic tools.topic.");
    expect(await runFailing("kafka-topics", create)).toMatch(/topic "tools\.topic" exists already/);
    await run("kafka-topics", `${create} --if-not-exists`);
    expect((await run("kafka-topics", "--list")).split("\n")).toContain("tools.topic");
    const described = await run("kafka-topics", "--describe --topic tools.topic");
    expect(described).toMatch(
      /Topic: tools.topic\s+TopicId: \S{22}\s+PartitionCount: 2\s+ReplicationFactor: 1/,
    );
    expect(described).toMatch(/Configs: .*retention.ms=7200000/);
    expect(described.match(/Leader: \d+/g)).toHaveLength(2);
    await run("kafka-topics", "--alter --topic tools.topic --partitions 5");
    const altered = await run("kafka-topics", "--describe --topic tools.topic");
    expect(altered).toContain("PartitionCount: 5");
    const amiss: string[] = [];
    for (const state of ["under-replicated", "unavailable", "under-min-isr", "at-min-isr"]) {
      if ((await run("kafka-topics", `--describe --${state}-partitions`)) !== "") amiss.push(state);
    }
    // One replica of one is the minimum, and not below it.
    expect(amiss).toEqual(["at-min-isr"]);
    await run("kafka-topics", "--delete --topic tools.topic");
    expect((await run("kafka-topics", "--list")).split("\n")).not.toContain("tools.topic");
  });

  test("kafka-configs describes and alters topic settings, describes broker settings", async () => {
    await run("kafka-topics", "--create --topic tools-configs");
    const topic = "--entity-type topics --entity-name tools-configs";
    const add = "--alter --add-config retention.ms=1111111,max.message.bytes=2000000";
    expect(await run("kafka-configs", `${topic} ${add}`)).toContain("Completed updating config");
    const described = await run("kafka-configs", `${topic} --describe`);
    expect(described).toContain("retention.ms=1111111");
    expect(described).toContain("max.message.bytes=2000000");
    expect(await run("kafka-configs", `${topic} --describe --all`)).toContain("segment.bytes=");
    await run("kafka-configs", `${topic} --alter --delete-config retention.ms`);
    expect(await run("kafka-configs", `${topic} --describe`)).not.toContain("retention.ms=1111111");
    expect(await runFailing("kafka-configs", `${topic} --alter --add-config no.such=1`)).toContain("no.such");
    const versions = await run("kafka-broker-api-versions", "");
    const broker = /\(id: (\d+)/.exec(versions)?.[1] ?? "";
    const all = await run("kafka-configs", `--entity-type brokers --entity-name ${broker} --describe --all`);
    expect(all).toContain(`All configs for broker ${broker} are:`);
  });

  test("kafka-configs describes and alters settings of groups", async () => {
    const group = "--entity-type groups --entity-name tools-group";
    const add = "--alter --add-config consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=6000";
    expect(await run("kafka-configs", `${group} ${add}`)).toContain("Completed updating config");
    const described = await run("kafka-configs", `${group} --describe`);
    expect(described).toContain("consumer.session.timeout.ms=50000");
    expect(described).toContain("consumer.heartbeat.interval.ms=6000");
    const all = await run("kafka-configs", "--entity-type groups --describe");
    expect(all).toContain("tools-group");
    await run("kafka-configs", `${group} --alter --delete-config consumer.session.timeout.ms`);
    const after = await run("kafka-configs", `${group} --describe`);
    expect(after).not.toContain("consumer.session.timeout.ms=50000");
    const bad = "--alter --add-config consumer.session.timeout.ms=10";
    expect(await runFailing("kafka-configs", `${group} ${bad}`)).toContain("45000 to 60000");
  });

  test("kafka-get-offsets and kafka-delete-records", async () => {
    await produceLines(
      "tools-offsets",
      Array.from({ length: 10 }, (_, index) => String(index)),
    );
    const offset = async (time: string): Promise<string> =>
      (await run("kafka-get-offsets", `--topic tools-offsets ${time}`)).trim();
    expect(await offset("")).toBe("tools-offsets:0:10");
    expect(await offset("--time earliest")).toBe("tools-offsets:0:0");
    expect(await offset("--time latest")).toBe("tools-offsets:0:10");
    expect(await offset("--time max-timestamp")).toMatch(/^tools-offsets:0:[0-9]$/);
    expect(await offset("--time 1700000000000")).toBe("tools-offsets:0:0");

    const file = join(server.dataDirectory, "delete.json");
    const partitions = [{ topic: "tools-offsets", partition: 0, offset: 4 }];
    await writeFile(file, JSON.stringify({ version: 1, partitions }));
    const deleted = await run("kafka-delete-records", `--offset-json-file ${file}`);
    expect(deleted).toContain("low_watermark: 4");
    expect(await offset("--time earliest")).toBe("tools-offsets:0:4");
  });

  test("kafka-log-dirs shows where partitions are", async () => {
    await produceLines("tools-log-dirs", ["x"]);
    const output = await run("kafka-log-dirs", "--describe --topic-list tools-log-dirs");
    expect(output).toContain('"partition":"tools-log-dirs-0"');
  });

  test("kafka-producer-perf-test", async () => {
    await run("kafka-topics", "--create --topic tools-perf --partitions 16");
    const load = "--topic tools-perf --num-records 20000 --record-size 1024 --throughput -1";
    const properties = `--producer-props bootstrap.servers=${server.kafkaAddress} acks=all`;
    const output = await tools.run("kafka-producer-perf-test", `${load} ${properties}`);
    expect(output).toMatch(/20000 records sent, .* records\/sec/);
    const offsets = (await run("kafka-get-offsets", "--topic tools-perf")).trim().split("\n");
    expect(offsets).toHaveLength(16);
    expect(offsets.reduce((sum, line) => sum + Number(line.split(":")[2]), 0)).toBe(20_000);
  });

  test("DumpLogSegments reads what the server has written", async () => {
    const lines = Array.from({ length: 500 }, (_, index) => `dumped ${index}`);
    await produceLines("tools-dump", lines);
    const directory = await partitionDirectory();
    const names = (await readdir(directory)).filter((name) => /\.(?:log|index|timeindex)$/.test(name));
    const files = names.map((name) => join(directory, name)).join(",");
    const output = await tools.run("kafka-dump-log", `--print-data-log --files ${files}`);
    expect([...output.matchAll(/payload: (.*)$/gm)].map((match) => match[1])).toEqual(lines);
    expect(output).not.toMatch(/isvalid: false|Mismatches|Non-consecutive/i);
  });

  /** Directories carry the topic's id as a UUID, which tools write in base64. */
  async function partitionDirectory(): Promise<string> {
    const described = await run("kafka-topics", "--describe --topic tools-dump");
    const id = Buffer.from(/TopicId: (\S+)/.exec(described)?.[1] ?? "", "base64url").toString("hex");
    const uuid = id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    return join(server.dataDirectory, "topics", `${uuid}-0`);
  }
});
