import { DiskError, type DiskErrorCode, type DiskFile } from "./disk.ts";
import type { Verdict } from "./memory-disk-faults.ts";
import { injected, type MemoryDiskOperations } from "./memory-disk-operations.ts";
import type { FileNode } from "./memory-disk-tree.ts";

/** An open file of a memory disk. It is of no use after a crash of the disk. */
export class MemoryDiskFile implements DiskFile {
  readonly path: string;
  readonly #node: FileNode;
  readonly #writable: boolean;
  readonly #operations: MemoryDiskOperations;
  readonly #life: number;
  #closed = false;

  constructor(path: string, node: FileNode, writable: boolean, operations: MemoryDiskOperations) {
    this.path = path;
    this.#node = node;
    this.#writable = writable;
    this.#operations = operations;
    this.#life = operations.life;
    node.openHandles += 1;
  }

  async size(): Promise<number> {
    this.#refuseUnlessOpen();
    return await this.#operations.runWhole("stat", this.path, () => this.#node.content.sizeBytes);
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#refuseUnlessOpen();
    this.#refuseUnlessCount(position);
    this.#refuseUnlessCount(length);
    return await this.#operations.run("read", this.path, (verdict) => {
      if (verdict.error !== undefined) throw injected(verdict.error, this.path, "read");
      const bytes = this.#node.content.read(position, length);
      if (verdict.corrupt) this.#corrupt(bytes);
      return bytes;
    });
  }

  async readInto(position: number, target: Uint8Array): Promise<number> {
    const bytes = await this.read(position, target.byteLength);
    target.set(bytes);
    return bytes.byteLength;
  }

  async write(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.#refuseUnlessWritable();
    this.#refuseUnlessCount(position);
    const bytes = concatenate(buffers);
    if (bytes.byteLength === 0) return;
    const answer = await this.#operations.run("write", this.path, (verdict) =>
      this.#write(position, bytes, verdict),
    );
    answer();
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#refuseUnlessWritable();
    this.#refuseUnlessCount(sizeBytes);
    const answer = await this.#operations.runWhole("truncate", this.path, () => {
      if (sizeBytes - this.#node.content.sizeBytes > this.#operations.freeBytes) {
        throw new DiskError("ENOSPC", this.path, "cannot truncate");
      }
      return this.#change(() => this.#node.content.apply({ kind: "truncate", sizeBytes }));
    });
    answer();
  }

  async sync(): Promise<void> {
    this.#refuseUnlessOpen();
    const sync = this.#node.content.startSync();
    const error = await this.#operations.run("sync", this.path, (verdict) => verdict.error);
    if (error === undefined) {
      sync.succeed();
    } else {
      sync.fail(this.#operations.random);
      throw injected(error, this.path, "sync");
    }
  }

  close(): Promise<void> {
    if (!this.#closed && this.#life === this.#operations.life) {
      this.#node.openHandles -= 1;
      if (this.#node.openHandles === 0 && !this.#node.linked) {
        this.#operations.usedBytes -= this.#node.content.sizeBytes;
      }
    }
    this.#closed = true;
    return Promise.resolve();
  }

  /** Writes as much as the disk takes before it fails or is full. */
  #write(position: number, bytes: Uint8Array, verdict: Verdict): () => void {
    const { random, faults, freeBytes } = this.#operations;
    let error: DiskErrorCode | undefined = verdict.error;
    let count = error === undefined ? bytes.byteLength : random.integer(bytes.byteLength + 1);
    const room = Math.max(0, this.#node.content.sizeBytes + freeBytes - position);
    if (count > room) {
      error = "ENOSPC";
      count = random.integer(room + 1);
      faults.counts.diskFull += 1;
    }
    const answer =
      count === 0
        ? () => undefined
        : this.#change(() =>
            this.#node.content.apply({ kind: "write", position, bytes: bytes.subarray(0, count) }),
          );
    if (error === "ENOSPC") throw new DiskError("ENOSPC", this.path, "cannot write");
    if (error !== undefined) throw injected(error, this.path, "write");
    return answer;
  }

  #change<T>(change: () => T): T {
    const before = this.#node.content.sizeBytes;
    const result = change();
    this.#operations.usedBytes += this.#node.content.sizeBytes - before;
    this.#node.modifiedMs = this.#operations.clock.now();
    return result;
  }

  #corrupt(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    const index = this.#operations.random.integer(bytes.byteLength);
    bytes[index] = (bytes[index] ?? 0) ^ (1 << this.#operations.random.integer(8));
  }

  #refuseUnlessOpen(): void {
    if (this.#life !== this.#operations.life) {
      throw new DiskError("EIO", this.path, "the file was opened before the disk crashed");
    }
    if (this.#closed) throw new DiskError("EOTHER", this.path, "the file is closed");
  }

  #refuseUnlessWritable(): void {
    this.#refuseUnlessOpen();
    if (!this.#writable) throw new DiskError("EOTHER", this.path, "the file is open for reading only");
  }

  #refuseUnlessCount(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new DiskError("EOTHER", this.path, `${value} is no position or length in a file`);
    }
  }
}

function concatenate(buffers: readonly Uint8Array[]): Uint8Array {
  let sizeBytes = 0;
  for (const buffer of buffers) sizeBytes += buffer.byteLength;
  const bytes = new Uint8Array(sizeBytes);
  let position = 0;
  for (const buffer of buffers) {
    bytes.set(buffer, position);
    position += buffer.byteLength;
  }
  return bytes;
}
