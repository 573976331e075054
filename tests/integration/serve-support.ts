import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdminService } from "@ottla/proto/ottla/v1/admin";
import { LogService, ReadFormat } from "@ottla/proto/ottla/v1/log";
import { type DecodedRecord, decodeBatches, encodeBatch, type RecordInput } from "@ottla/records";
import { createClient, GrpcTransport, type RpcClient } from "@ottla/rpc";
import {
  createMetricsRegistry,
  type Disk,
  defaultSettings,
  NodeDisk,
  nullLogger,
  type SettingsOverrides,
  systemClock,
  systemRandom,
} from "@ottla/runtime";
import { type RunningNode, startNode } from "@ottla/standalone";
import { afterEach } from "vitest";

/**
 * A whole Ottla in this process, on a directory and ports of its own, with raw clients
 * that reach it over gRPC.
 */
export interface TestNode {
  readonly dataDir: string;
  readonly address: string;
  readonly httpUrl: string;
  readonly running: RunningNode;
  readonly log: RpcClient<typeof LogService>;
  readonly admin: RpcClient<typeof AdminService>;
  stop(): Promise<void>;
  /** Stops and starts again on the same directory. */
  restart(): Promise<TestNode>;
}

export interface TestNodeOptions {
  readonly dataDir?: string;
  readonly settings?: SettingsOverrides;
  readonly disk?: Disk;
  /** It outlives the test that starts it: whoever starts it stops it. */
  readonly shared?: boolean;
}

const cleanUps: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "ottla-serve-"));
  cleanUps.push(() => removeDirectory(directory));
  return directory;
}

function removeDirectory(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true, maxRetries: 3 });
}

export async function startTestNode(options: TestNodeOptions = {}): Promise<TestNode> {
  const { shared = false } = options;
  const sharedDirectory = shared ? await mkdtemp(join(tmpdir(), "ottla-serve-")) : undefined;
  const dataDir = options.dataDir ?? sharedDirectory ?? (await temporaryDirectory());
  const settings = await defaultSettings({
    ...options.settings,
    dataDir,
    grpc: { ...options.settings?.grpc, port: 0 },
    http: { port: 0 },
    kafka: { ...options.settings?.kafka, port: 0 },
  });
  const running = await startNode({
    settings,
    clock: systemClock,
    random: systemRandom,
    disk: options.disk ?? new NodeDisk(),
    logger: nullLogger,
    metrics: createMetricsRegistry(),
  });
  await running.untilReady();
  const address = `127.0.0.1:${running.grpcPort}`;
  const transport = new GrpcTransport({ address, clock: systemClock });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      await transport.close();
      await running.lifecycle.stop(10_000);
      if (sharedDirectory !== undefined) await removeDirectory(sharedDirectory);
    })();
    return stopped;
  };
  if (!shared) cleanUps.push(stop);
  return {
    dataDir,
    address,
    httpUrl: `http://127.0.0.1:${running.httpPort}`,
    running,
    log: createClient(LogService, transport),
    admin: createClient(AdminService, transport),
    stop,
    restart: async () => {
      await stop();
      return startTestNode({ ...options, dataDir });
    },
  };
}

/** A client on a connection of its own. */
export function connect(address: string): RpcClient<typeof LogService> & { close(): Promise<void> } {
  const transport = new GrpcTransport({ address, clock: systemClock });
  cleanUps.push(() => transport.close());
  return { ...createClient(LogService, transport), close: () => transport.close() };
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(value: Uint8Array | null | undefined): string {
  return new TextDecoder().decode(value ?? new Uint8Array(0));
}

export function batchOf(
  values: readonly string[],
  producer: Parameters<typeof encodeBatch>[1] = {},
): Uint8Array {
  const records = values.map(
    (value): RecordInput => ({ timestampMs: 1_000, key: null, value: bytes(value) }),
  );
  return encodeBatch(records, producer);
}

/** Appends records given as texts to one partition. */
export function appendTexts(
  node: { readonly log: RpcClient<typeof LogService> },
  topic: string,
  values: readonly string[],
  partition = 0,
): ReturnType<RpcClient<typeof LogService>["append"]> {
  const records = values.map((value) => ({ value: bytes(value) }));
  return node.log.append({ topic, partition, payload: { case: "records", value: { records } } });
}

/** All records of a partition, read batch by batch until the high watermark. */
export async function readAll(
  node: { readonly log: RpcClient<typeof LogService> },
  topic: string,
  partition = 0,
): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = [];
  for (let offset = 0n; ; ) {
    const answer = await node.log.fetch({ topic, partition, offset, format: ReadFormat.BATCHES });
    for (const record of decodeBatches(answer.batches)) {
      if (record.offset >= offset) records.push(record);
    }
    if (answer.nextOffset >= answer.highWatermark) return records;
    offset = answer.nextOffset;
  }
}
