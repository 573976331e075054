import { resolve } from "node:path";
import type { CliEnvironment } from "../environment.ts";
import { CliError, ExitCode } from "../exit-codes.ts";

const CHUNK_BYTES = 1024 * 1024;
const MAX_WHOLE_BYTES = 16 * 1024 * 1024;

export interface InputFile {
  readonly name: string;
  readonly chunks: () => AsyncIterable<Uint8Array>;
  /** Undefined for standard input. */
  readonly sizeBytes: number | undefined;
}

/**
 * The inputs of a command: the files named, "-" or nothing for standard input. Checked
 * before anything is read.
 */
export async function openInputs(
  names: readonly string[],
  environment: CliEnvironment,
): Promise<InputFile[]> {
  const inputs: InputFile[] = [];
  for (const name of names.length === 0 ? ["-"] : names) {
    if (name === "-") {
      inputs.push({ name: "standard input", chunks: environment.stdin, sizeBytes: undefined });
      continue;
    }
    const path = resolve(environment.workingDirectory, name);
    const disk = await environment.disk();
    const stat = await disk.stat(path);
    if (stat?.kind !== "file") {
      throw new CliError(
        ExitCode.failed,
        `cannot read ${name}: ${stat === undefined ? "no such file" : "a directory"}`,
      );
    }
    inputs.push({ name, chunks: () => readFile(path, environment), sizeBytes: stat.sizeBytes });
  }
  return inputs;
}

/** The whole of a small text. */
export async function readWhole(name: string, environment: CliEnvironment): Promise<string> {
  const [input] = await openInputs([name], environment);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of input?.chunks() ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_WHOLE_BYTES) {
      throw new CliError(ExitCode.failed, `${name}: is larger than ${MAX_WHOLE_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function* readFile(
  path: string,
  environment: CliEnvironment,
): AsyncGenerator<Uint8Array, void, undefined> {
  const disk = await environment.disk();
  const file = await disk.open(path, "read");
  try {
    let position = 0;
    let next = file.read(position, CHUNK_BYTES);
    for (;;) {
      const chunk = await next;
      if (chunk.length === 0) return;
      position += chunk.length;
      // The disk works on the next chunk while this one is used.
      next = file.read(position, CHUNK_BYTES);
      next.catch(() => undefined);
      yield chunk;
    }
  } finally {
    await file.close();
  }
}
