import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { failureOf, goChecks, haveClients } from "./support/programs.ts";

const checks = {
  records: "an idempotent producer's records come back, nulls among them",
  codecs: "batches of every codec come back with the codec they were sent with",
  partitions: "100 partitions in one fetch session",
  topics: "create, extend, list and delete topics by kadm",
  configs: "alter and describe topic settings",
  offsets: "list offsets by every way, delete records",
  cluster: "metadata and API versions",
};

describe.runIf(haveClients("go"))("franz-go", () => {
  let server: OttlaServer;

  beforeAll(async () => {
    server = await OttlaServer.start();
  });

  afterAll(async () => {
    await server.stop();
  });

  test.each(Object.entries(checks))("%s: %s", async (check) => {
    expect(await failureOf(goChecks, [check, server.kafkaAddress])).toBe("");
  });
});
