import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NodeDisk } from "./node-disk.ts";

const HOLDER_PROGRAM = `
  const { NodeDisk } = await import(process.argv[1]);
  const disk = new NodeDisk();
  await disk.lock(process.argv[2]);
  const again = await disk.lock(process.argv[2]).catch((error) => error.code);
  process.stdout.write(String(again));
  process.stdin.resume();
`;

let directory: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(`${tmpdir()}/ottla-directory-lock-`);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(directory, { recursive: true, force: true });
});

async function startHolder(): Promise<ChildProcess> {
  const module = new URL("./node-disk.ts", import.meta.url).href;
  const child = spawn(process.execPath, ["--input-type=module", "-e", HOLDER_PROGRAM, module, directory], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  children.push(child);
  let errors = "";
  child.stderr.on("data", (bytes: Buffer) => {
    errors += bytes.toString();
  });
  const [answer] = (await once(child.stdout, "data")) as [Buffer];
  expect(answer.toString()).toBe("DATA_DIRECTORY_LOCKED");
  expect(errors).toBe("");
  return child;
}

describe("lock of a directory", () => {
  it("refuses a second process and says who holds it, until the first is killed", async () => {
    const disk = new NodeDisk();
    const child = await startHolder();
    const expected = `is held by process ${child.pid} on host ${hostname()} since `;
    await expect(disk.lock(directory)).rejects.toMatchObject({
      code: "DATA_DIRECTORY_LOCKED",
      message: expect.stringContaining(expected),
    });

    child.kill("SIGKILL");
    await once(child, "exit");
    const lock = await disk.lock(directory);
    expect(await readFile(`${directory}/lock.holder`, "utf8")).toContain(`process ${process.pid} `);
    await lock.release();
  });

  it("is free again after a release, though the file that named the holder was lost", async () => {
    const disk = new NodeDisk();
    const lock = await disk.lock(directory);
    await writeFile(`${directory}/lock.holder`, "");
    await expect(disk.lock(directory)).rejects.toThrow(/is held by another process:/);
    await rm(`${directory}/lock.holder`);
    await expect(disk.lock(directory)).rejects.toThrow(/is held by another process:/);
    await lock.release();
    await (await disk.lock(directory)).release();
  });
});
