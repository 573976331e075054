import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadSettings } from "@ottla/runtime";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { treeRoot } from "../support/ottla-server.ts";
import { chartDirectory, helm, PROFILES, type Profile, render } from "./support/helm.ts";

/** What an installation prints, without a cluster. */
async function notes(profile: Profile, ...set: readonly string[]): Promise<string> {
  const values = [`--values=${join(chartDirectory, PROFILES[profile])}`, ...set.map((one) => `--set=${one}`)];
  const told = await helm([
    "install",
    "ottla",
    chartDirectory,
    ...values,
    "-n",
    "streams",
    "--dry-run=client",
  ]);
  return told.slice(told.indexOf("\nNOTES:"));
}

describe.each(Object.keys(PROFILES) as Profile[])("the notes of profile %s", (profile) => {
  test("name workloads, services and ports that are there", async () => {
    const manifests = await render({ profile });
    const text = await notes(profile);
    const find = (kind: string, name: string) =>
      manifests.find((one) => one.kind.toLowerCase() === kind && one.metadata.name === name);
    const workloads = [...text.matchAll(/\b(deployment|statefulset)\/([a-z0-9-]+)/g)];
    expect(workloads.length).toBeGreaterThan(1);
    for (const [, kind = "", name = ""] of workloads) expect(find(kind, name)).toBeDefined();
    const addresses = [...text.matchAll(/([a-z0-9-]+)\.streams\.svc\.cluster\.local:(\d+)/g)];
    expect(addresses.length).toBeGreaterThan(1);
    for (const [, name = "", port] of addresses) {
      const ports = find("service", name)?.spec?.["ports"] as readonly { port: number }[] | undefined;
      expect(ports?.map((one) => String(one.port))).toContain(port);
    }
  });
});

test.each([
  ["ClusterIP", [], false],
  ["LoadBalancer", [], true],
  ["LoadBalancer", ["gateway.service.loadBalancerSourceRanges={10.0.0.0/8}"], false],
  ["NodePort", [], true],
])("the notes of a Service of type %s with %j warn: %s", async (type, set, isWarned) => {
  const text = await notes("default", `gateway.service.type=${type}`, ...set);
  expect(text.includes("WARNING: clients are not asked who they are")).toBe(isWarned);
});

/** What the image sets (Dockerfile). */
async function imageEnvironment(): Promise<Record<string, string>> {
  const dockerfile = await readFile(join(treeRoot, "Dockerfile"), "utf8");
  const pairs = [...dockerfile.matchAll(/\b(OTTLA_[A-Z_]+)=(\S+)/g)];
  return Object.fromEntries(pairs.map(([, name = "", value = ""]) => [name, value]));
}

interface Composed {
  readonly command?: string | readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

describe("the compose file", async () => {
  const { services } = parse(await readFile(join(treeRoot, "k8s/compose.yaml"), "utf8"), { merge: true }) as {
    readonly services: Readonly<Record<string, Composed>>;
  };
  const nodes = Object.entries(services).filter(([, { environment = {} }]) =>
    Object.keys(environment).some((name) => name.startsWith("OTTLA_")),
  );

  test("has nodes of all roles", () => {
    const commands = nodes.map(([, { command = "" }]) => String(command)).join(" ");
    for (const role of ["gateway", "partition-storage", "coordinator", "group-coordinator"]) {
      expect(commands).toContain(role);
    }
  });

  test.each(nodes)(
    "starts %s with settings that exist",
    async (_name, { command = [], environment = {} }) => {
      const argv = typeof command === "string" ? command.split(" ") : command;
      const own = Object.fromEntries(
        // ${NAME:-default} and ${NAME:?message} stand for what the caller sets.
        Object.entries(environment).map(([name, value]) => [
          name,
          value.replace(/^\$\{.*$/, "a secret of 16 letters"),
        ]),
      );
      await expect(
        loadSettings({
          argv,
          env: { ...(await imageEnvironment()), ...own },
          readFile: () => Promise.reject(new Error("none")),
        }),
      ).resolves.toBeDefined();
    },
  );
});
