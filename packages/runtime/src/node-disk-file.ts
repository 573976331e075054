import fs from "node:fs";
import { DiskError, type DiskFile } from "./disk.ts";
import { toDiskError } from "./node-disk-error.ts";

/** Linux takes at most this many buffers in one call (IOV_MAX). */
const MAX_BUFFERS_PER_CALL = 1024;

/**
 * A file descriptor. It uses Node's callback interface because that of promises costs
 * twice the time per call, and counts the calls in flight, because closing a descriptor
 * under them could hit another file that got its number.
 */
export class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  #inFlight = 0;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  size(): Promise<number> {
    return this.#call<number>("ask the size", (done) => {
      fs.fstat(this.#descriptor, (error, stats) => done(error, stats?.size));
    });
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    this.#refuseUnlessCount(length);
    // Not from Node's pool: the result may outlive its neighbours there and would keep them all in memory.
    const target = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    const count = await this.readInto(position, target);
    return count === length ? target : target.subarray(0, count);
  }

  async readInto(position: number, target: Uint8Array): Promise<number> {
    this.#refuseUnlessCount(position);
    let filled = 0;
    while (filled < target.byteLength) {
      const rest = filled === 0 ? target : target.subarray(filled);
      const count = await this.#call<number>("read", (done) => {
        fs.read(this.#descriptor, rest, 0, rest.byteLength, position + filled, done);
      });
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }

  async write(position: number, buffers: readonly Uint8Array[]): Promise<void> {
    this.#refuseUnlessCount(position);
    let rest = buffers.filter((buffer) => buffer.byteLength > 0);
    let next = position;
    while (rest.length > 0) {
      const now = rest.length > MAX_BUFFERS_PER_CALL ? rest.slice(0, MAX_BUFFERS_PER_CALL) : rest;
      const at = next;
      const count = await this.#call<number>("write", (done) => {
        fs.writev(this.#descriptor, now, at, done);
      });
      if (count === 0) throw new DiskError("EIO", this.path, "cannot write: the disk took no bytes");
      next += count;
      rest = withoutFirst(rest, count);
    }
  }

  async sync(): Promise<void> {
    await this.#call("sync", (done) => {
      fs.fdatasync(this.#descriptor, done);
    });
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#refuseUnlessCount(sizeBytes);
    await this.#call("truncate", (done) => {
      fs.ftruncate(this.#descriptor, sizeBytes, done);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await new Promise<void>((resolve, reject) => {
      fs.close(this.#descriptor, (error) => {
        if (error) reject(toDiskError(this.path, "close", error));
        else resolve();
      });
    });
  }

  #call<T = void>(what: string, start: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) {
        reject(new DiskError("EOTHER", this.path, `cannot ${what}: the file is closed`));
        return;
      }
      this.#inFlight += 1;
      try {
        start((error, value) => {
          this.#ended();
          if (error) reject(toDiskError(this.path, what, error));
          else resolve(value as T);
        });
      } catch (thrown) {
        // Node refuses arguments it does not like (a negative position) by throwing at once.
        this.#ended();
        reject(toDiskError(this.path, what, thrown));
      }
    });
  }

  /** Because Node takes a negative position for "where the last call ended", and a negative size for none. */
  #refuseUnlessCount(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new DiskError("EOTHER", this.path, `${value} is no position or length in a file`);
    }
  }

  #ended(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.#onIdle?.();
  }
}

/** The buffers without their first `count` bytes, after a write that took only those. */
export function withoutFirst(buffers: Uint8Array[], count: number): Uint8Array[] {
  let index = 0;
  let left = count;
  for (const buffer of buffers) {
    if (left < buffer.byteLength) break;
    left -= buffer.byteLength;
    index += 1;
  }
  const rest = buffers.slice(index);
  const first = rest[0];
  if (left > 0 && first !== undefined) rest[0] = first.subarray(left);
  return rest;
}
