import { describe, expect, test } from "vitest";
import { CliError, ExitCode } from "./exit-codes.ts";
import { addressOf, DEFAULT_ADDRESS, outputFormat } from "./options.ts";
import { TestEnvironment } from "./test-support/test-environment.ts";

function environment(env: Record<string, string>): TestEnvironment {
  const made = new TestEnvironment();
  Object.assign(made.env, env);
  return made;
}

function problem(work: () => unknown): { message: string; exitCode: number } | undefined {
  try {
    work();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown;
    return { message: thrown.message, exitCode: thrown.exitCode };
  }
}

describe("the address", () => {
  test("the option goes before the variable, and an empty variable is none", () => {
    const set = environment({ OTTLA_ADDRESS: "elsewhere:1" });
    expect(addressOf({ address: "here:2" }, set)).toBe("here:2");
    expect(addressOf({}, set)).toBe("elsewhere:1");
    expect(addressOf({}, environment({ OTTLA_ADDRESS: "" }))).toBe(DEFAULT_ADDRESS);
    expect(addressOf({ address: "[::1]:50051" }, set)).toBe("[::1]:50051");
    expect(addressOf({ address: "a:1, [::1]:2,c:3" }, set)).toBe("a:1,[::1]:2,c:3");
  });

  test.each([
    "localhost",
    "http://localhost:50051",
    "localhost:99999",
    "localhost:0",
    ":1",
    "a b:1",
    "::1:50051",
    "a:1,b",
    "a:1,",
    "",
  ])("%s is wrong usage, blamed on the option or on the variable", (address) => {
    const ofOption = problem(() => addressOf({ address }, environment({})));
    expect(ofOption).toMatchObject({ exitCode: ExitCode.usage });
    expect(ofOption?.message.startsWith(`--address ${address}: `)).toBe(true);
    if (address === "") return;
    const ofVariable = problem(() => addressOf({}, environment({ OTTLA_ADDRESS: address })));
    expect(ofVariable).toMatchObject({ exitCode: ExitCode.usage });
    expect(ofVariable?.message.startsWith(`OTTLA_ADDRESS=${address}: `)).toBe(true);
  });
});

test("the output: the option, else OTTLA_OUTPUT, else a table; a wrong variable is blamed by name", () => {
  expect(outputFormat({}, environment({}))).toBe("table");
  expect(outputFormat({}, environment({ OTTLA_OUTPUT: "" }))).toBe("table");
  expect(outputFormat({}, environment({ OTTLA_OUTPUT: "json" }))).toBe("json");
  expect(outputFormat({ output: "yaml" }, environment({ OTTLA_OUTPUT: "json" }))).toBe("yaml");
  expect(problem(() => outputFormat({}, environment({ OTTLA_OUTPUT: "xml" })))).toEqual({
    exitCode: ExitCode.usage,
    message: "OTTLA_OUTPUT=xml: must be one of table, json, yaml",
  });
});
