// A bare trial broker: the floor that Ottla's Kafka path is measured against. It parses Produce
// and Fetch, checks the CRC, assigns offsets and writes groups with one writev in flight per
// partition (and an fdatasync with --sync). It recovers nothing, limits nothing and validates
// nothing else: it is what the machine can do with this shape of program, not a product. With
// --storage it keeps nothing itself and sends what is produced to bench/floor/floor-storage.ts,
// over one bare grpc-js stream: the shape of a gateway before a storage node.
//
// Usage: sh scripts/node.sh bench/floor/floor-broker.ts --port 9192 --partitions 4 --data-dir DIR [--sync]
//        sh scripts/node.sh bench/floor/floor-broker.ts --port 9192 --partitions 4 --storage HOST:PORT

import { mkdirSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  allApis,
  apiVersions,
  FrameReader,
  FrameWriter,
  fetch,
  hasFlexibleResponseHeader,
  initProducerId,
  listOffsets,
  metadata,
  produce,
  readClientId,
  readRequestHeader,
  writeResponseHeader,
  ZERO_UUID,
} from "@ottla/kafka-protocol";
import { FloorPartition } from "./floor-partition.ts";
import { FloorStorageClient } from "./floor-storage-client.ts";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "9192" },
    partitions: { type: "string", default: "4" },
    "data-dir": { type: "string", default: "/tmp/ottla-floor" },
    sync: { type: "boolean", default: false },
    storage: { type: "string" },
  },
});
const partitionCount = Number(flags.partitions);
const served = new Map(
  [produce, fetch, listOffsets, metadata, apiVersions, initProducerId].map((api) => [api.key, api] as const),
);

mkdirSync(flags["data-dir"], { recursive: true });
const topics = new Map<string, FloorPartition[]>();
const storage = flags.storage === undefined ? undefined : new FloorStorageClient(flags.storage);

function topic(name: string): FloorPartition[] {
  let partitions = topics.get(name);
  if (partitions === undefined) {
    partitions = Array.from({ length: partitionCount }, (_, index) => {
      const path = join(flags["data-dir"], `${name}-${index}.log`);
      return new FloorPartition({ path, sync: flags.sync, remote: storage?.partition(name, index) });
    });
    topics.set(name, partitions);
  }
  return partitions;
}

type Send = (encode: (writer: FrameWriter) => void) => void;

function serveProduce(version: number, reader: FrameReader, send: Send, skip: () => void): void {
  const request = produce.decodeRequest(reader, version);
  let pending = 1;
  const responses = request.topicData.map(({ name, partitionData }) => ({
    name,
    partitionResponses: partitionData.map(({ index, records }) => {
      const response = { index, errorCode: 0, baseOffset: -1, logStartOffset: 0 };
      pending++;
      const partition = topic(name)[index];
      if (partition === undefined || records === null) throw new Error("no such partition");
      partition.append(records, (baseOffset) => {
        response.baseOffset = baseOffset;
        finish();
      });
      return response;
    }),
  }));
  function finish(): void {
    if (--pending > 0) return;
    if (request.acks === 0) skip();
    else send((writer) => produce.encodeResponse(writer, version, { responses, throttleTimeMs: 0 }));
  }
  finish();
}

function serveFetch(version: number, reader: FrameReader, send: Send): void {
  const request = fetch.decodeRequest(reader, version);
  const deadline = performance.now() + request.maxWaitMs;
  const attempt = (): void => {
    let pending = 1;
    let total = 0;
    const responses = request.topics.map(({ topic: name, partitions }) => ({
      topic: name,
      partitions: partitions.map(({ partition: index, fetchOffset, partitionMaxBytes }) => {
        const partition = topic(name)[index];
        if (partition === undefined) throw new Error("no such partition");
        const answer = {
          partitionIndex: index,
          errorCode: 0,
          highWatermark: partition.highWatermark,
          lastStableOffset: partition.highWatermark,
          logStartOffset: 0,
          abortedTransactions: null,
          records: new Uint8Array(0) as Uint8Array,
        };
        pending++;
        partition.read(fetchOffset, partitionMaxBytes, (chunk) => {
          answer.records = chunk;
          total += chunk.byteLength;
          finish();
        });
        return answer;
      }),
    }));
    function finish(): void {
      if (--pending > 0) return;
      const left = deadline - performance.now();
      if (total === 0 && left > 0) waitForData(request.topics, left, attempt);
      else
        send((writer) =>
          fetch.encodeResponse(writer, version, { throttleTimeMs: 0, errorCode: 0, responses }),
        );
    }
    finish();
  };
  attempt();
}

function waitForData(
  wanted: readonly { topic: string; partitions: readonly { partition: number }[] }[],
  leftMs: number,
  retry: () => void,
): void {
  let isOver = false;
  const wake = (): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    retry();
  };
  const timer = setTimeout(wake, leftMs);
  for (const { topic: name, partitions } of wanted) {
    for (const { partition } of partitions) topic(name)[partition]?.waiters.push(wake);
  }
}

function serveMetadata(version: number, reader: FrameReader, send: Send): void {
  const request = metadata.decodeRequest(reader, version);
  const names = request.topics?.map((entry) => entry.name ?? "") ?? [...topics.keys()];
  send((writer) =>
    metadata.encodeResponse(writer, version, {
      throttleTimeMs: 0,
      brokers: [{ nodeId: 0, host: "127.0.0.1", port: Number(flags.port), rack: null }],
      clusterId: "floor",
      controllerId: 0,
      topics: names.map((name) => ({
        errorCode: 0,
        name,
        topicId: ZERO_UUID,
        isInternal: false,
        partitions: topic(name).map((_, partitionIndex) => ({
          errorCode: 0,
          partitionIndex,
          leaderId: 0,
          leaderEpoch: 0,
          replicaNodes: [0],
          isrNodes: [0],
          offlineReplicas: [],
        })),
      })),
    }),
  );
}

function serveListOffsets(version: number, reader: FrameReader, send: Send): void {
  const request = listOffsets.decodeRequest(reader, version);
  send((writer) =>
    listOffsets.encodeResponse(writer, version, {
      throttleTimeMs: 0,
      topics: request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex, timestamp }) => ({
          partitionIndex,
          errorCode: 0,
          timestamp: -1,
          offset: timestamp === -2 ? 0 : (topic(name)[partitionIndex]?.highWatermark ?? 0),
          leaderEpoch: 0,
        })),
      })),
    }),
  );
}

function serve(frame: Uint8Array, socketSend: (pieces: Uint8Array[]) => void, skip: () => void): void {
  const reader = new FrameReader(frame);
  const { apiKey, apiVersion, correlationId } = readRequestHeader(reader);
  const api = served.get(apiKey);
  if (api === undefined) throw new Error(`no API ${apiKey}`);
  readClientId(reader, api.isFlexible(apiVersion));
  const send: Send = (encode) => {
    const writer = new FrameWriter();
    writeResponseHeader(writer, correlationId, hasFlexibleResponseHeader(api, apiVersion));
    encode(writer);
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(writer.sizeBytes);
    socketSend([length, ...writer.finish()]);
  };
  if (apiKey === produce.key) serveProduce(apiVersion, reader, send, skip);
  else if (apiKey === fetch.key) serveFetch(apiVersion, reader, send);
  else if (apiKey === metadata.key) serveMetadata(apiVersion, reader, send);
  else if (apiKey === listOffsets.key) serveListOffsets(apiVersion, reader, send);
  else if (apiKey === initProducerId.key) {
    initProducerId.decodeRequest(reader, apiVersion);
    send((writer) =>
      initProducerId.encodeResponse(writer, apiVersion, {
        throttleTimeMs: 0,
        errorCode: 0,
        producerId: 1,
        producerEpoch: 0,
      }),
    );
  } else {
    const apiKeys = allApis
      .filter((one) => served.has(one.key))
      .map((one) => ({
        apiKey: one.key,
        minVersion: one.key === produce.key ? 0 : one.versions.from,
        // Topic ids begin with Fetch 13 and Produce 13: the floor knows names only.
        maxVersion: one.key === fetch.key ? 12 : one.key === metadata.key ? 9 : one.versions.to,
      }));
    send((writer) => apiVersions.encodeResponse(writer, Math.min(apiVersion, 3), { errorCode: 0, apiKeys }));
  }
}

function accept(socket: Socket): void {
  socket.setNoDelay(true);
  const replies: { pieces: Uint8Array[] | undefined; isReady: boolean }[] = [];
  let held: Buffer[] = [];
  let heldBytes = 0;
  let needed = 4;
  const flush = (): void => {
    socket.cork();
    while (replies[0]?.isReady === true)
      for (const piece of replies.shift()?.pieces ?? []) socket.write(piece);
    socket.uncork();
  };
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    held.push(chunk);
    heldBytes += chunk.byteLength;
    while (heldBytes >= needed) {
      const all = held.length === 1 ? chunk : Buffer.concat(held);
      let position = 0;
      while (all.byteLength - position >= 4) {
        const length = all.readInt32BE(position);
        if (all.byteLength - position - 4 < length) break;
        const reply: (typeof replies)[number] = { pieces: undefined, isReady: false };
        replies.push(reply);
        const settle = (pieces?: Uint8Array[]): void => {
          reply.pieces = pieces;
          reply.isReady = true;
          flush();
        };
        serve(all.subarray(position + 4, position + 4 + length), settle, () => settle());
        position += 4 + length;
      }
      const rest = all.subarray(position);
      held = rest.byteLength === 0 ? [] : [rest];
      heldBytes = rest.byteLength;
      needed = heldBytes >= 4 ? rest.readInt32BE(0) + 4 : 4;
    }
  });
}

createServer(accept).listen(Number(flags.port), "127.0.0.1", () => {
  process.stdout.write(`floor broker on 127.0.0.1:${flags.port}, ${partitionCount} partitions a topic\n`);
});

process.on("SIGTERM", () => {
  for (const partitions of topics.values()) for (const partition of partitions) partition.close();
  process.exit(0);
});
