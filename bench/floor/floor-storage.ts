// The second process of the floor with one gRPC hop: takes what floor-broker.ts passes on, and
// writes it with an fdatasync before it answers. The server's HTTP/2 window is 8 MiB, as in the product.
//
// Usage: sh scripts/node.sh bench/floor/floor-storage.ts --data-dir DIR

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { FloorPartition } from "./floor-partition.ts";

const { values: flags } = parseArgs({
  options: { "data-dir": { type: "string", default: "/tmp/ottla-floor" } },
});
const WINDOW_BYTES = 8 * 1024 * 1024;
const HEAD_BYTES = 16;

mkdirSync(flags["data-dir"], { recursive: true });
const partitions = new Map<string, FloorPartition>();

function partitionOf(name: string): FloorPartition {
  let partition = partitions.get(name);
  if (partition === undefined) {
    partition = new FloorPartition({ path: join(flags["data-dir"], `${name}.log`), sync: true });
    partitions.set(name, partition);
  }
  return partition;
}

function append(call: ServerDuplexStream<Buffer, Buffer>): void {
  call.on("data", (message: Buffer) => {
    const bodyAt = HEAD_BYTES + message.readUInt32BE(8);
    const name = `${message.toString("utf8", HEAD_BYTES, bodyAt)}-${message.readUInt32BE(4)}`;
    const answered = (baseOffset: number): void => {
      const answer = Buffer.allocUnsafe(8);
      message.copy(answer, 0, 0, 4);
      answer.writeUInt32BE(baseOffset, 4);
      call.write(answer);
    };
    partitionOf(name).append(message.subarray(bodyAt), answered, true);
  });
  call.on("end", () => call.end());
}

/** grpc-js offers no way to raise the window of a server. */
function raiseWindows(server: Server): void {
  const create: unknown = Reflect.get(server, "createHttp2Server");
  if (typeof create !== "function") throw new Error("this grpc-js hides its HTTP/2 server");
  Reflect.set(server, "commonServerOptions", { settings: { initialWindowSize: WINDOW_BYTES } });
  Reflect.set(server, "createHttp2Server", (...credentials: unknown[]) => {
    const http2Server = Reflect.apply(create, server, credentials) as NodeJS.EventEmitter;
    return http2Server.on("session", (session: { setLocalWindowSize(sizeBytes: number): void }) =>
      session.setLocalWindowSize(WINDOW_BYTES),
    );
  });
}

const asIs = (bytes: Buffer): Buffer => bytes;
const server = new Server({ "grpc.max_receive_message_length": -1 });
raiseWindows(server);
server.addService(
  {
    append: {
      path: "/floor.Storage/Append",
      requestStream: true,
      responseStream: true,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  },
  { append },
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.stdout.write(`${port}\n`);
});

process.on("SIGTERM", () => {
  for (const partition of partitions.values()) partition.close();
  process.exit(0);
});
