import { MemoryServer } from "@ottla/client/test-support";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { CliError, ExitCode } from "./exit-codes.ts";
import { buildProgram } from "./program.ts";
import { TestEnvironment } from "./test-support/test-environment.ts";

const server = new MemoryServer();
let environment: TestEnvironment;

beforeAll(async () => {
  await server.start();
  server.createTopic("greetings", 2);
});

afterAll(() => server.stop());

beforeEach(() => {
  environment = new TestEnvironment({ address: server.address, input: ["one\n", "two"] });
});

/** The exit code, or the message of what ended the command. */
async function ottla(...argv: string[]): Promise<number | string> {
  try {
    return await buildProgram(environment).run(argv);
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown;
    return thrown.message;
  }
}

test("address and output may stand before the command, and those behind it win", async () => {
  environment.env["OTTLA_ADDRESS"] = "";
  expect(await ottla("--address", server.address, "--output=json", "cluster", "describe")).toBe(ExitCode.ok);
  expect(JSON.parse(environment.out)).toMatchObject({ clusterId: "memory" });
  const both = ["--address", "localhost:9", "cluster", "describe", "--address", server.address];
  expect(await ottla(...both)).toBe(ExitCode.ok);
  expect(await ottla("--output", "json", "produce", "greetings")).toBe(
    "--output: `produce` has no such option",
  );
});

test("a topic that does not exist: produce says at once how to create it", async () => {
  const unknown = 'topic "nope" does not exist';
  expect(await ottla("produce", "nope")).toBe(
    `${unknown}: create it with \`ottla topic create nope\` (UNKNOWN_TOPIC_OR_PARTITION)`,
  );
  expect(await ottla("consume", "nope", "-e")).toBe(`${unknown} (UNKNOWN_TOPIC_OR_PARTITION)`);
});

test("describe shows the topics that exist before it fails for one that does not", async () => {
  const problem = await ottla("topic", "describe", "nope", "greetings");
  expect(problem).toBe('topic "nope" does not exist (UNKNOWN_TOPIC_OR_PARTITION)');
  expect(environment.out).toContain("greetings");
  expect(environment.out).toContain("2 partitions");
});

test("what the gateway could not compare with the metadata store is shown as unconfirmed", async () => {
  const both = ["cluster describe", "topic describe greetings"];
  for (const command of both) await ottla(...command.split(" "));
  expect(environment.out).not.toContain("UNCONFIRMED");
  server.isUnconfirmed = true;
  try {
    for (const command of both) await ottla(...command.split(" "));
  } finally {
    server.isUnconfirmed = false;
  }
  expect(environment.out.match(/UNCONFIRMED/g)).toHaveLength(2);
});

test("the summary of consume counts the bytes of the records, not those of the transport", async () => {
  expect(await ottla("produce", "greetings", "-p", "0", "-H", "h=v")).toBe(ExitCode.ok);
  expect(await ottla("consume", "greetings", "-o", "start", "-e")).toBe(ExitCode.ok);
  expect(environment.out).toBe("one\ntwo\n");
  // Ten bytes, and the clock of the test stands still: its shortest time is a millisecond.
  expect(environment.err).toContain("2 records in 0 ms (2,000 records/s, 10.0 kB/s)");
});
