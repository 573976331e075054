import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32c, encodeBatch } from "@ottla/records";
import { expect, test } from "vitest";
import { ExitCode } from "../exit-codes.ts";
import { buildProgram } from "../program.ts";
import { TestEnvironment } from "../test-support/test-environment.ts";

test("log verify names the damaged file by a path that exists, with the position", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ottla-verify-"));
  try {
    const file = join(directory, "00000000000000000000.log");
    const [first, damaged, last] = [0, 1, 2].map((baseOffset) =>
      encodeBatch([{ timestampMs: 1, key: null, value: Buffer.from("value") }], { baseOffset }),
    );
    damaged?.fill(0, -3, -2);
    await writeFile(file, Buffer.concat([first, damaged, last].map((batch) => batch ?? Buffer.alloc(0))));
    // Behind the recovery point the damage would be cut at the next start, and count as a warning.
    const checkpoint = "version: 1\nrecovery-point: 3\nlog-start-offset: 0\nhigh-watermark: 3\n";
    const crc = crc32c(Buffer.from(checkpoint)).toString(16).padStart(8, "0");
    await writeFile(join(directory, "log-checkpoint"), `${checkpoint}crc: ${crc}\n`);
    const environment = new TestEnvironment();
    const code = await buildProgram(environment).run(["log", "verify", directory]);
    expect(code).toBe(ExitCode.failed);
    expect(environment.out).toContain(`error: ${file} at ${first?.length}`);
    expect(environment.out).toMatch(/\n1 error\n$/);
  } finally {
    await rm(directory, { recursive: true });
  }
});
