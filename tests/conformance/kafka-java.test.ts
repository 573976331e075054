import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { JavaTools } from "./support/java-tools.ts";
import { haveClients } from "./support/programs.ts";

const clientChecks = {
  producer: "a producer with default settings: offsets, nulls, headers, timestamps",
  acks: "acks 0, 1 and all",
  codecs: "batches of every codec come back",
  offsets: "beginning, end, by time; a seek validated by its leader epoch; lag",
  outOfRange: "offsets outside the log are out of range",
  transactions: "transactions are refused at once",
  manyPartitions: "100 partitions in one fetch session, small fetches",
  largeRecords: "10 MB messages, once max.message.bytes allows them",
  timestamps: "LogAppendTime; timestamps out of bounds are refused",
};

const adminChecks = {
  cluster: "describe cluster and features",
  topics: "create, describe by name and id, list, delete by name and id",
  refusals: "each wrong request has its own exception",
  configs: "describe and alter topic settings",
  brokerConfigs: "describe broker settings",
  partitions: "add partitions",
  offsets: "list offsets by every way, delete records",
  producersAndLogDirs: "describe producers and log directories",
};

describe.runIf(haveClients("java"))("Kafka's Java clients", () => {
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

  /** What the check said where it failed; empty where it held. */
  async function check(main: string, name: string): Promise<string> {
    const { exitCode, errors } = await tools.runMain(main, [name, server.kafkaAddress]);
    return exitCode === 0 ? "" : errors;
  }

  test.each(Object.entries(clientChecks))("%s: %s", async (name) => {
    expect(await check("ClientChecks", name)).toBe("");
  });

  test.each(Object.entries(adminChecks))("admin %s: %s", async (name) => {
    expect(await check("AdminChecks", name)).toBe("");
  });
});
