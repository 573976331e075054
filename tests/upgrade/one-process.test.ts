import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ottla } from "@ottla/client";
import { afterEach, expect, test } from "vitest";
import { OttlaServer } from "../support/ottla-server.ts";
import { havePreviousVersion, oldCommand } from "./previous.ts";

const ends: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const meta = (directory: string): Promise<string> => readFile(join(directory, "meta.properties"), "utf8");

/** Starts a whole cluster of one process, asks it something, and stops it. */
async function serve(dataDirectory: string, ask: (ottla: Ottla) => Promise<unknown>, command?: string) {
  const server = await OttlaServer.start({ dataDirectory, ...(command === undefined ? {} : { command }) });
  ends.push(() => server.stop());
  const ottla = new Ottla({ address: server.address });
  await ask(ottla);
  await ottla.close();
  expect(await server.terminate()).toBe(0);
}

test.runIf(havePreviousVersion())(
  "one process goes back until its level is raised, and not after",
  async () => {
    const root = await mkdtemp(join(tmpdir(), "ottla-upgrade-"));
    ends.push(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));
    const directory = join(root, "data");
    const send = async (ottla: Ottla): Promise<void> => {
      const producer = ottla.producer();
      await producer.send({ topic: "t", value: "v" });
      await producer.close();
    };
    await serve(directory, (ottla) => ottla.admin().createTopic({ name: "t" }), oldCommand);
    await serve(directory, send);
    await serve(directory, send, oldCommand);
    await serve(directory, (ottla) => ottla.admin().upgradeCluster());
    expect(await meta(directory)).toContain("feature.level=2");
    const before = await readdir(directory);
    await expect(serve(directory, send, oldCommand)).rejects.toThrow(
      "says format version 2; this version of Ottla reads 1",
    );
    expect(await readdir(directory)).toEqual(before);
    expect(before).toContain("clean-shutdown");
    await serve(directory, async (ottla) => {
      const [{ offset } = { offset: 0n }] = await ottla
        .admin()
        .listOffsets([{ topic: "t", partition: 0, at: "latest" }]);
      expect(offset).toBe(2n);
    });
  },
);
