import { Client, type ClientDuplexStream, credentials } from "@grpc/grpc-js";

const HEAD_BYTES = 16;
const METHOD = "/floor.Storage/Append";

const asIs = (bytes: Buffer): Buffer => bytes;

/**
 * Passes batches on to bench/floor/floor-storage.ts over one stream. A message is the batches of one request
 * behind a correlation id, the partition and the topic's name; an answer is the id and the base offset.
 */
export class FloorStorageClient {
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  readonly #waiting = new Map<number, (baseOffset: number) => void>();
  #nextId = 0;

  constructor(address: string) {
    const client = new Client(address, credentials.createInsecure(), {
      "grpc.max_send_message_length": -1,
      "grpc.enable_retries": 0,
      "grpc.per_rpc_retry_buffer_size": 0,
    });
    this.#stream = client.makeBidiStreamRequest(METHOD, asIs, asIs);
    this.#stream.on("data", (answer: Buffer) => {
      const id = answer.readUInt32BE(0);
      const done = this.#waiting.get(id);
      this.#waiting.delete(id);
      done?.(answer.readUInt32BE(4));
    });
  }

  partition(topic: string, index: number): (records: Uint8Array, done: (baseOffset: number) => void) => void {
    const name = Buffer.from(topic);
    return (records, done) => {
      const id = this.#nextId++ >>> 0;
      this.#waiting.set(id, done);
      const message = Buffer.allocUnsafeSlow(HEAD_BYTES + name.byteLength + records.byteLength);
      message.writeUInt32BE(id, 0);
      message.writeUInt32BE(index, 4);
      message.writeUInt32BE(name.byteLength, 8);
      message.set(name, HEAD_BYTES);
      message.set(records, HEAD_BYTES + name.byteLength);
      this.#stream.write(message);
    };
  }
}
