import { OttlaError } from "@ottla/errors";
import { array, assert, asyncProperty, constantFrom, dictionary, oneof, string } from "fast-check";
import { describe, expect, test } from "vitest";
import { settingDefinitions } from "./setting-list.ts";
import { showValue } from "./setting-source.ts";
import { defaultSettings, describeSettings, loadSettings, type Settings } from "./settings.ts";

interface Sources {
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly yaml?: string;
}

function load(sources: Sources): Promise<Settings> {
  const { argv = [], env = {}, yaml } = sources;
  return loadSettings({
    argv: yaml === undefined ? argv : ["--config", "ottla.yaml", ...argv],
    env,
    readFile: async (path) => {
      if (path === "ottla.yaml" && yaml !== undefined) return yaml;
      throw new Error("no such file");
    },
  });
}

async function faultsOf(sources: Sources): Promise<string[]> {
  const thrown = await load(sources).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof OttlaError)) throw new Error(`expected a refusal, got ${String(thrown)}`);
  expect(thrown.code).toBe("INVALID_CONFIG");
  return thrown.message.split("\n");
}

function sourceOf(settings: Settings, name: string): string | undefined {
  return describeSettings(settings).find((setting) => setting.name === name)?.source;
}

describe("defaults", () => {
  test("nothing set gives a whole cluster of one node on loopback", async () => {
    const settings = await load({});
    expect(settings).toMatchObject({
      target: ["gateway", "partition-storage", "coordinator", "group-coordinator"],
      dataDir: "data",
      listen: "127.0.0.1",
      nodeId: 1,
      zone: "",
      grpc: {
        port: 50_051,
        maxConnections: 1_000,
        maxStreamsPerConnection: 1_000,
        maxMessageBytes: 67_108_864,
        maxUnansweredBytesPerStream: 33_554_432,
      },
      http: { port: 8_080 },
      log: { level: "info", format: "auto" },
      shutdown: { timeoutMs: 30_000 },
      storage: { tailCacheBytes: 16_777_216, syncConcurrency: 8, retentionCheckIntervalMs: 300_000 },
      numPartitions: 1,
      autoCreateTopics: true,
      topicDefaults: {},
    });
    expect(settings.clusterId).toBeUndefined();
    expect(settings.defaultReplicationFactor).toBeUndefined();
    expect(settings.storage.headroomBytes).toBeUndefined();
    expect(sourceOf(settings, "grpc.port")).toBe("default");
  });

  test("overrides replace single values and are checked like any other source", async () => {
    const settings = await defaultSettings({ grpc: { port: 0 }, http: { port: 0 }, target: ["gateway"] });
    expect(settings.grpc).toMatchObject({ port: 0, maxConnections: 1_000 });
    expect(settings.target).toEqual(["gateway"]);
    await expect(defaultSettings({ grpc: { port: -1 } })).rejects.toThrow(
      "override grpc.port: -1 is not a whole number from 0 to 65535",
    );
  });
});

describe("precedence", () => {
  test("flags go before the environment, it before the file, it before the default", async () => {
    const settings = await load({
      argv: ["--grpc-port", "1001"],
      env: { OTTLA_GRPC_PORT: "1002", OTTLA_HTTP_PORT: "1003" },
      yaml: "node-id: 9\ngrpc:\n  port: 1004\nhttp:\n  port: 1005\n",
    });
    expect([settings.grpc.port, settings.http.port, settings.nodeId]).toEqual([1001, 1003, 9]);
    expect(sourceOf(settings, "grpc.port")).toBe("flag --grpc-port");
    expect(sourceOf(settings, "http.port")).toBe("environment OTTLA_HTTP_PORT");
    expect(sourceOf(settings, "node-id")).toBe("ottla.yaml:1 node-id");
  });

  test("the file may be named by OTTLA_CONFIG, and --config goes before it", async () => {
    const env = { OTTLA_CONFIG: "elsewhere.yaml" };
    expect((await load({ env, yaml: "node-id: 4" })).nodeId).toBe(4);
    expect(await faultsOf({ env })).toEqual([
      'environment OTTLA_CONFIG: cannot read "elsewhere.yaml": no such file',
    ]);
  });

  test("topic defaults of all sources are put together, name by name", async () => {
    const settings = await load({
      argv: ["--topic-default", "retention.ms=1", "--topic-default=cleanup.policy=compact,delete"],
      env: { OTTLA_TOPIC_DEFAULTS: "retention.ms=2,segment.bytes=1048576" },
      yaml: "topic-defaults:\n  retention.ms: 3\n  preallocate: true\n  cleanup.policy: [delete]\n",
    });
    expect(settings.topicDefaults).toEqual({
      "retention.ms": "1",
      "segment.bytes": "1048576",
      "cleanup.policy": "compact,delete",
      preallocate: "true",
    });
    const source = "ottla.yaml:1 topic-defaults, environment OTTLA_TOPIC_DEFAULTS, flag --topic-default";
    expect(sourceOf(settings, "topic-defaults")).toBe(source);
  });

  test("the last of two equal flags counts", async () => {
    expect((await load({ argv: ["--node-id=1", "--node-id", "2"] })).nodeId).toBe(2);
  });
});

describe("values", () => {
  test("sizes, times, switches and targets are read from every source", async () => {
    const settings = await load({
      argv: ["--no-auto-create-topics", "--target", "gateway, partition-storage"],
      env: { OTTLA_GRPC_MAX_MESSAGE_BYTES: "8MiB", OTTLA_ZONE: "" },
      yaml: "shutdown: { timeout-ms: 5s }\nstorage:\n  tail-cache-bytes: 1GiB\nzone: 3\n",
    });
    expect(settings.autoCreateTopics).toBe(false);
    expect(settings.target).toEqual(["gateway", "partition-storage"]);
    expect(settings.grpc.maxMessageBytes).toBe(8 * 2 ** 20);
    expect(settings.shutdown.timeoutMs).toBe(5_000);
    expect(settings.storage.tailCacheBytes).toBe(2 ** 30);
    expect(settings.zone).toBe("3");
    expect((await load({ argv: ["--auto-create-topics=false"] })).autoCreateTopics).toBe(false);
    expect((await load({ env: { OTTLA_AUTO_CREATE_TOPICS: "false" } })).autoCreateTopics).toBe(false);
  });

  test.each(["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1", "node-1.ottla.svc", "localhost"])(
    "%s may be listened on",
    async (listen) => {
      expect((await load({ argv: ["--listen", listen] })).listen).toBe(listen);
    },
  );

  test.each(["", "127.0.0.1:80", "http://x", "-x", "a b"])("%j may not be listened on", async (listen) => {
    expect(await faultsOf({ argv: [`--listen=${listen}`] })).toEqual([
      `flag --listen: ${JSON.stringify(listen)} is not an IP address or a host name, without a port`,
    ]);
  });

  test("two servers may not share a port, unless it is 0", async () => {
    expect(await faultsOf({ env: { OTTLA_HTTP_PORT: "50051" } })).toEqual([
      "environment OTTLA_HTTP_PORT: 50051 is not allowed: it must differ from grpc.port",
    ]);
    expect(await faultsOf({ env: { OTTLA_GRPC_PORT: "8080" } })).toEqual([
      "default of http.port: 8080 is not allowed: it must differ from grpc.port",
    ]);
    await load({ argv: ["--grpc-port=0", "--http-port=0"] });
  });
});

describe("refusals", () => {
  test("all faults of all sources come at once, each with source, value and limit", async () => {
    const faults = await faultsOf({
      argv: ["--grpc-prot", "5", "--grpc-max-message-bytes=64M", "extra", "--node-id"],
      env: { OTTLA_GPRC_PORT: "4", OTTLA_LOG_LEVEL: "loud" },
      yaml: "grpc:\n  prot: 5\n  port: 99999\nlog: loud\nshutdown.timeout-ms: 1\nzone:\n",
    });
    expect(faults).toEqual([
      "flag --grpc-prot: no such flag; did you mean --grpc-port?",
      'argument "extra": only flags are understood here',
      "flag --node-id: a value is missing after it",
      "environment OTTLA_GPRC_PORT: no such setting; did you mean OTTLA_GRPC_PORT?",
      "ottla.yaml:2 grpc.prot: no such setting; did you mean grpc.port?",
      "ottla.yaml:4 log: must be a map of settings",
      "ottla.yaml:5 shutdown.timeout-ms: no such setting; write it nested: shutdown: { timeout-ms: … }",
      "ottla.yaml:3 grpc.port: 99999 is not a whole number from 0 to 65535",
      "ottla.yaml:6 zone: null is not at most 128 letters, digits, dots, underscores, slashes and dashes",
      'environment OTTLA_LOG_LEVEL: "loud" is not one of trace, debug, info, warn, error, fatal, silent',
      'flag --grpc-max-message-bytes: "64M" is not a size from 64KiB to 1GiB, such as 64MiB',
    ]);
  });

  test("a wrong value is refused although a flag overrides it", async () => {
    const faults = await faultsOf({ argv: ["--node-id=1"], env: { OTTLA_NODE_ID: "one" } });
    expect(faults).toEqual([
      'environment OTTLA_NODE_ID: "one" is not a whole number from 0 to 1000000, or auto',
    ]);
  });

  test.each([
    ["--node-id=1.5"],
    ["--node-id=1e3"],
    ["--node-id="],
    ["--node-id=0x10"],
    ["--grpc-port=65536"],
    ["--target=gateway,gateway"],
    ["--target=gateway,broker"],
    ["--target="],
    ["--shutdown-timeout-ms=2h"],
    ["--shutdown-timeout-ms=-1"],
    ["--topic-default=retention.ms"],
    ["--topic-default==1"],
    ["--topic-default=Retention Ms=1"],
    ["--topic-default=__proto__=1"],
    ["--auto-create-topics=yes"],
    ["--no-auto-create-topics=true"],
    ["--no-node-id"],
    ["--data-dir=a\0b"],
  ])("%s is refused by name", async (argument) => {
    const [fault = "", ...more] = await faultsOf({ argv: [argument] });
    expect(more).toEqual([]);
    expect(fault).toContain(`flag ${argument.split("=")[0]}: `);
  });

  test.each([
    ["[1, 2]", 'ottla.yaml:1: the file must be a map of settings, such as "node-id: 1"'],
    ["node-id: 1\nnode-id: 2", "ottla.yaml:2: Map keys must be unique"],
    ["grpc:\n\tport: 1", "ottla.yaml:2: Tabs are not allowed as indentation"],
    ["grpc:\n  port: [1]", "ottla.yaml:2 grpc.port: [1] is not a whole number from 0 to 65535"],
    ["grpc:\n  port: {a: 1}", 'ottla.yaml:2 grpc.port: {"a":1} is not a whole number from 0 to 65535'],
    ["grpc:\n  port:\n    a: 1", 'ottla.yaml:2 grpc.port: {"a":1} is not a whole number from 0 to 65535'],
    [
      "topic-defaults: {a: {b: 1}}",
      'ottla.yaml:1 topic-defaults: {"a":{"b":1}} is not topic settings such as',
    ],
    ["a: 1\n---\nb: 1", "ottla.yaml:2: Source contains multiple documents"],
  ])("a broken file is refused with the line: %j", async (yaml, start) => {
    const [fault = ""] = await faultsOf({ yaml });
    expect(fault).toContain(start);
  });

  test("a file too large for settings is refused", async () => {
    expect(await faultsOf({ yaml: `zone: ${"x".repeat(2 ** 20)}` })).toEqual([
      "ottla.yaml: larger than 1048576 characters",
    ]);
  });

  test("aliases cannot blow a small file up", async () => {
    const levels = Array.from({ length: 30 }, (_, level) => `&a${level + 1} [*a${level}, *a${level}]`);
    const lines = levels.map((line, index) => `  b${index}: ${line}`);
    const yaml = ["topic-defaults:", "  a: &a0 [x]", ...lines].join("\n");
    const [fault = ""] = await faultsOf({ yaml });
    expect(fault).toMatch(/Excessive alias count/);
  });

  test("an empty file and a group without settings set nothing", async () => {
    expect((await load({ yaml: "" })).nodeId).toBe(1);
    expect((await load({ yaml: "# nothing\ngrpc:\n  # port: 1\n" })).grpc.port).toBe(50_051);
  });
});

describe("the environment", () => {
  test("variables of the command line and of Kubernetes' service links are no settings", async () => {
    const settings = await load({
      env: {
        OTTLA_ADDRESS: "localhost:50051",
        OTTLA_NODE: "/usr/bin/node",
        OTTLA_PORT: "tcp://10.0.0.1:50051",
        OTTLA_PORT_50051_TCP_ADDR: "10.0.0.1",
        OTTLA_SERVICE_HOST: "10.0.0.1",
        OTTLA_SERVICE_PORT_GRPC: "50051",
        OTTLA_HEADLESS_SERVICE_HOST: "10.0.0.1",
        // A Service named "ottla-grpc" makes a variable with the very name of a setting.
        OTTLA_GRPC_PORT: "tcp://10.0.0.1:50051",
        PATH: "/bin",
      },
    });
    expect(settings.grpc.port).toBe(50_051);
  });
});

describe("whatever comes in", () => {
  const flags = constantFrom(
    ...settingDefinitions.map(({ flagName }) => flagName),
    "--config",
    "--",
    "-",
    "=",
  );
  const variables = constantFrom(
    ...settingDefinitions.map(({ environmentName }) => environmentName),
    "OTTLA_",
  );
  const words = constantFrom(
    "1",
    "64MiB",
    "all",
    "a=b",
    "true",
    "[",
    "{a: *b}",
    "&a [*a]",
    "- 1",
    "? x\n: y",
  );

  test("loading ends with settings or with one refusal that has a line per fault", async () => {
    const text = oneof(words, string());
    const files = oneof(
      text,
      array(text).map((lines) => lines.join("\n")),
    );
    await assert(
      asyncProperty(
        array(oneof(flags, text)),
        dictionary(variables, text),
        files,
        async (argv, env, file) => {
          const readFile = async () => file;
          const outcome = await loadSettings({ argv: ["--config", "f", ...argv], env, readFile }).then(
            ({ grpc }) => typeof grpc.port === "number",
            (error: unknown) => error instanceof OttlaError && error.code === "INVALID_CONFIG",
          );
          expect(outcome).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

test("a refusal shows a value shortened, and a secret not at all", () => {
  const [definition] = settingDefinitions;
  if (definition === undefined) throw new Error("there are no settings");
  expect(showValue(definition, "x".repeat(1_000))).toHaveLength(81);
  expect(showValue({ ...definition, secret: true }, "hunter2")).toBe("the secret value");
});
