import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { environmentNames } from "./environment.ts";
import { settingDefinitions } from "./setting-list.ts";
import { loadSettings, settingsHelp } from "./settings.ts";
import { exampleYaml, settingsReference } from "./settings-reference.ts";

describe("what is generated from the schema", () => {
  test("docs/configuration.md is up to date: else run scripts/generate-docs.ts", async () => {
    const page = await readFile(new URL("../../../../docs/configuration.md", import.meta.url), "utf8");
    expect(page).toBe(settingsReference());
  });

  test("the file with all defaults loads, and changes nothing", async () => {
    const readFile = async () => exampleYaml();
    const { effective, ...settings } = await loadSettings({ argv: ["--config", "x"], env: {}, readFile });
    const { effective: _, ...defaults } = await loadSettings({ argv: [], env: {}, readFile });
    expect(settings).toEqual(defaults);
    expect(effective.filter(({ source }) => source === "default").map(({ name }) => name)).toEqual([
      "cluster-id",
      "kafka.advertised-address",
      "tracing.endpoint",
      "storage.headroom-bytes",
      "groups.initial-rebalance-delay-ms",
      "cluster.secret",
      "cluster.secret-file",
      "cluster.initial-feature-level",
      "internal.listen",
      "internal.advertised-address",
      "etcd.endpoints",
      "etcd.username",
      "etcd.password",
      "etcd.password-file",
      "etcd.tls-ca-file",
      "etcd.tls-certificate-file",
      "etcd.tls-key-file",
      "default-replication-factor",
    ]);
  });

  test("help names every flag and keeps to the width of the terminal", async () => {
    for (const width of [40, 80, 110]) {
      const help = await settingsHelp({ width });
      for (const { flagName } of settingDefinitions) expect(help).toContain(flagName.slice(2));
      const tooLong = help.split("\n").filter((line) => line.length > width && line.trim().includes(" "));
      expect(tooLong.filter((line) => !line.startsWith("  --"))).toEqual([]);
    }
    expect(await settingsHelp({ width: 1 })).toBe(await settingsHelp({ width: 40 }));
  });
});

describe("the schema", () => {
  test("no two settings share a flag, a variable or a YAML path", () => {
    for (const name of ["flagName", "environmentName", "yamlPath"] as const) {
      const names = settingDefinitions.map((definition) => definition[name]);
      expect(new Set(names).size).toBe(names.length);
    }
  });

  test("no setting's variable is one of the other variables or looks like a service link", () => {
    const names = environmentNames();
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^OTTLA(_[A-Z0-9]+)+$/);
    for (const name of names) expect(name).not.toMatch(/_SERVICE_(HOST|PORT)/);
  });

  test("every setting says what it means in whole sentences", () => {
    const wrong = settingDefinitions.filter(({ documentation }) => !/^[A-Z].{15,}[.]$/s.test(documentation));
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });
});
