import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { JavaTools, type KafkaTool } from "./support/java-tools.ts";
import { haveClients } from "./support/programs.ts";

/** The words of a table's row that begins with these. */
function rowOf(table: string, ...beginning: string[]): string[] | undefined {
  const rows = table.split("\n").map((line) => line.trim().split(/\s+/));
  return rows.find((row) => beginning.every((word, index) => row[index] === word));
}

describe.runIf(haveClients("java"))("groups with Apache Kafka's command-line tools", () => {
  let server: OttlaServer;
  let tools: JavaTools;

  beforeAll(async () => {
    tools = new JavaTools();
    server = await OttlaServer.start({ flags: ["--num-partitions", "2"] });
    await run("kafka-topics", "--create --topic orders --partitions 2");
    await produceLines(["one", "two", "three", "four"]);
  });

  afterAll(async () => {
    await tools.close();
    await server.stop();
  });

  function run(tool: KafkaTool, parameters: string, input = ""): Promise<string> {
    return tools.run(tool, `--bootstrap-server ${server.kafkaAddress} ${parameters}`, input);
  }

  async function produceLines(lines: readonly string[]): Promise<void> {
    const distinct =
      "--producer-property partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner";
    await run("kafka-console-producer", `--topic orders ${distinct}`, `${lines.join("\n")}\n`);
  }

  function consume(group: string, count: number, more = ""): Promise<string> {
    return run(
      "kafka-console-consumer",
      `--topic orders --group ${group} --from-beginning --max-messages ${count} ${more}`,
    );
  }

  function groups(parameters: string): Promise<string> {
    return run("kafka-consumer-groups", parameters);
  }

  test("a console consumer of a group reads on where the one before it stopped", async () => {
    const read = await consume("console", 4);
    expect(read.trimEnd().split("\n").toSorted()).toEqual(["four", "one", "three", "two"]);
    await produceLines(["five"]);
    expect(await consume("console", 1)).toBe("five\n");
    expect(await groups("--list")).toContain("console");
  });

  test("kafka-consumer-groups describes offsets and lag, states and members", async () => {
    await consume("described", 2, "--consumer-property max.poll.records=2");
    const table = await groups("--describe --group described");
    const rows = table.split("\n").filter((line) => line.startsWith("described"));
    const lags = rows.map((row) => row.trim().split(/\s+/)).map((row) => Number(row[5]));
    expect(lags.every((lag) => lag >= 0)).toBe(true);
    expect(await groups("--describe --group described --state")).toMatch(/described\s.*\sEmpty\s/);
    expect(await groups("--list --state")).toMatch(/described\s+Empty/);
    expect(rowOf(await groups("--list --type classic"), "described")).toBeDefined();
  });

  test("kafka-consumer-groups resets offsets: to an offset, by a shift, to the beginning", async () => {
    await consume("reset", 4);
    const to = "--topic orders:0 --reset-offsets --execute --group reset";
    await groups(`${to} --to-offset 1`);
    expect(rowOf(await groups("--describe --group reset"), "reset", "orders", "0")?.[3]).toBe("1");
    await groups(`${to} --shift-by 1`);
    expect(rowOf(await groups("--describe --group reset"), "reset", "orders", "0")?.[3]).toBe("2");
    await groups("--reset-offsets --execute --group reset --all-topics --to-earliest");
    expect(rowOf(await groups("--describe --group reset"), "reset", "orders", "0")?.[3]).toBe("0");
    await groups("--delete-offsets --group reset --topic orders:1");
    expect(rowOf(await groups("--describe --group reset"), "reset", "orders", "1")).toBeUndefined();
  });

  test("the consumer protocol: a console consumer reads on, and its group is described", async () => {
    const protocol = "--consumer-property group.protocol=consumer";
    const all = (await consume("all", 4)).trimEnd().split("\n");
    const first = await consume("modern", 2, protocol);
    const second = await consume("modern", 2, protocol);
    const read = `${first}${second}`.split("\n").filter((line) => /^[a-z]+$/.test(line));
    // Each of them once: the second went on where the first had stopped.
    expect(new Set(read).size).toBe(all.length);
    expect(rowOf(await groups("--list --type consumer"), "modern")).toBeDefined();
    expect(await groups("--describe --group modern --state")).toMatch(/modern\s.*\suniform\s+Empty\s/);
    expect(rowOf(await groups("--describe --group modern"), "modern", "orders")).toBeDefined();
    await groups("--delete --group modern");
    expect(await groups("--list")).not.toContain("modern");
  });

  test("kafka-consumer-groups deletes a group, and says what it cannot delete", async () => {
    await consume("deleted", 4);
    expect(await groups("--delete --group deleted")).toContain("Deletion of requested consumer groups");
    expect(await groups("--list")).not.toContain("deleted");
    const said = await groups("--delete --group never-there");
    expect(said).toContain("GroupIdNotFoundException");
  });
});
