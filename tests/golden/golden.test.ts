import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findLogDirectories, verifyLog } from "@ottla/log";
import { FEATURE_LEVELS } from "@ottla/metadata";
import { encodeBatch } from "@ottla/records";
import { NodeDisk } from "@ottla/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import {
  connect,
  FORMATS,
  type GoldenClients,
  type GoldenManifest,
  readByGrpc,
  readOffsets,
  readTopic,
} from "./golden-manifest.ts";

const entries = await readdir(import.meta.dirname, { withFileTypes: true });
const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
const manifests = new Map<string, GoldenManifest>();
for (const name of names.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }))) {
  const text = await readFile(join(import.meta.dirname, name, "manifest.json"), "utf8");
  manifests.set(name, JSON.parse(text));
}
const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

test("there is a golden directory of each feature level, and of the formats of this program", () => {
  const newest = [...manifests.values()].at(-1);
  expect(newest?.formats, "a format has changed: keep reading the old one, and run `make golden`").toEqual(
    FORMATS,
  );
  const levels = new Set([...manifests.values()].map(({ featureLevel }) => featureLevel));
  expect([...levels]).toEqual(FEATURE_LEVELS.map(({ level }) => level));
});

describe.each([...manifests])("the golden directory %s", (name, manifest) => {
  /** A copy of it, and what a program knows that only looks at the files. */
  async function copied(): Promise<string> {
    const root = await mkdtemp(join(tmpdir(), "ottla-golden-"));
    ends.push(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));
    const dataDirectory = join(root, "data");
    await mkdir(dataDirectory);
    execFileSync("tar", ["-xzf", join(import.meta.dirname, name, "data.tar.gz"), "-C", dataDirectory]);
    return dataDirectory;
  }

  async function opened(server: OttlaServer): Promise<GoldenClients> {
    const clients = await connect(server);
    ends.push(() => clients.close());
    return clients;
  }

  /** Everything but what is newer than the directory. */
  async function isAllThere(clients: GoldenClients): Promise<void> {
    const { clusterId, featureLevel } = await clients.ottla.admin().describeCluster();
    expect([clusterId, featureLevel]).toEqual([manifest.clusterId, manifest.featureLevel]);
    for (const golden of manifest.topics) {
      const { configs, partitions } = await readTopic(clients, golden.name);
      expect(configs).toEqual(golden.configs);
      for (const [partition, wanted] of golden.partitions.entries()) {
        const found = partitions[partition];
        const byGrpc = await readByGrpc(clients, golden.name, partition, wanted.logStartOffset);
        expect(byGrpc.slice(0, wanted.records.length)).toEqual(wanted.records);
        expect(found?.records.slice(0, wanted.records.length)).toEqual(wanted.records);
        expect(found?.logStartOffset).toBe(wanted.logStartOffset);
        expect(found?.epochs.slice(0, wanted.epochs.length)).toEqual(wanted.epochs);
      }
    }
    const topics = await clients.ottla.admin().listTopics();
    expect(topics.map((topic) => topic.name).toSorted()).toEqual(
      manifest.topics.map((topic) => topic.name).toSorted(),
    );
    expect(await readOffsets(clients, manifest.group)).toEqual(manifest.offsets);
  }

  /** The producer's last batch is recognised, and its next one is taken. */
  async function producerGoesOn(clients: GoldenClients): Promise<void> {
    const { topic, producerId, baseSequence, values, baseOffset } = manifest.retry;
    const send = async (from: number, texts: readonly string[]): Promise<number> => {
      const records = texts.map((text) => ({ timestampMs: 0, key: null, value: Buffer.from(text) }));
      const value = encodeBatch(records, { producerId, producerEpoch: 0, baseSequence: from });
      const payload = { case: "batch" as const, value };
      const { results } = await clients.log.append({ topic, partition: 0, payload });
      return Number(results[0]?.baseOffset);
    };
    expect(await send(baseSequence, values)).toBe(baseOffset);
    expect(await send(baseSequence + values.length, ["next"])).toBe(baseOffset + values.length);
  }

  test("is served whole, goes on where it was, and is whole after a stop and a kill", async () => {
    const dataDirectory = await copied();
    const disk = new NodeDisk();
    for (const directory of await findLogDirectories(dataDirectory, disk)) {
      expect(await verifyLog(directory, disk, { allowGaps: true })).toMatchObject({ problems: [] });
    }
    const server = await OttlaServer.start({ dataDirectory });
    ends.push(() => server.stop());
    // A level that the directory does not have is not given to it by a newer program.
    await isAllThere(await opened(server));
    await producerGoesOn(await opened(server));
    const { topics } = manifest;
    for (const { name: topic } of topics) {
      const record = { timestampMs: 1, key: Buffer.from("new"), value: Buffer.from("new") };
      const payload = { case: "batch" as const, value: encodeBatch([record]) };
      await (await opened(server)).log.append({ topic, partition: 0, payload });
    }
    expect(await server.terminate()).toBe(0);
    await server.launch();
    await isAllThere(await opened(server));
    await server.kill();
    await server.launch();
    const clients = await opened(server);
    await isAllThere(clients);
    for (const { name: topic, partitions } of topics) {
      const end = partitions[0]?.endOffset ?? 0;
      const added = await readByGrpc(clients, topic, 0, end);
      expect(added.at(-1)?.slice(2, 4)).toEqual(["new", "new"]);
    }
    await clients.ottla.admin().upgradeCluster();
    const level = (await clients.ottla.admin().describeCluster()).featureLevel;
    expect(level).toBe(FEATURE_LEVELS.at(-1)?.level);
    expect(await server.terminate()).toBe(0);
    expect(await readFile(join(dataDirectory, "meta.properties"), "utf8")).toContain(
      `feature.level=${level}`,
    );
  });
});
