import { createHash } from "node:crypto";
import { Ottla } from "@ottla/client";
import { GROUP_RECORD_FORMATS } from "@ottla/group-coordinator";
import { fetch, listOffsets, offsetFetch, offsetForLeaderEpoch, ZERO_UUID } from "@ottla/kafka-protocol";
import { LOG_FORMATS } from "@ottla/log";
import { EMBEDDED_FORMAT } from "@ottla/metadata";
import { LogService, ReadFormat } from "@ottla/proto/ottla/v1/log";
import { decodeBatches } from "@ottla/records";
import { createClient, GrpcTransport, type RpcClient } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";
import { KafkaTestClient } from "../support/kafka-client.ts";
import type { OttlaServer } from "../support/ottla-server.ts";

/** The versions of all that this program writes to disk. */
export const FORMATS: Readonly<Record<string, number>> = {
  ...LOG_FORMATS,
  "metadata.db": EMBEDDED_FORMAT,
  ...Object.fromEntries(
    Object.entries(GROUP_RECORD_FORMATS).map(([name, version]) => [`group record: ${name}`, version]),
  ),
};

/** offset, timestamp, key, value and headers; long values by their length and hash, null as null. */
export type GoldenRecord = readonly [
  number,
  number,
  string | null,
  string | null,
  readonly (readonly [string, string | null])[],
];

export interface GoldenPartition {
  readonly logStartOffset: number;
  readonly endOffset: number;
  /** Leader epochs and where each ends. */
  readonly epochs: readonly (readonly [number, number])[];
  readonly records: readonly GoldenRecord[];
}

export interface GoldenTopic {
  readonly name: string;
  /** What was set on the topic. */
  readonly configs: Readonly<Record<string, string>>;
  readonly partitions: readonly GoldenPartition[];
}

/** partition, offset and metadata. */
export type GoldenOffset = readonly [string, number, number, string];

/** The last batch of an idempotent producer: sent again it is told its first offset (R11). */
export interface GoldenRetry {
  readonly topic: string;
  readonly producerId: number;
  readonly baseSequence: number;
  readonly values: readonly string[];
  readonly baseOffset: number;
}

export interface GoldenManifest {
  readonly version: string;
  readonly featureLevel: number;
  readonly formats: Readonly<Record<string, number>>;
  readonly clusterId: string;
  readonly topics: readonly GoldenTopic[];
  readonly deletedTopic: string;
  readonly group: string;
  readonly offsets: readonly GoldenOffset[];
  readonly retry: GoldenRetry;
}

/** Clients of both kinds of one server. */
export interface GoldenClients {
  readonly ottla: Ottla;
  readonly log: RpcClient<typeof LogService>;
  readonly kafka: KafkaTestClient;
  close(): Promise<void>;
}

export async function connect(server: OttlaServer): Promise<GoldenClients> {
  const { address } = server;
  const transport = new GrpcTransport({ address, clock: systemClock, waitForReady: true });
  const ottla = new Ottla({ address });
  const kafka = await KafkaTestClient.connect(server.kafkaPort);
  return {
    ottla,
    log: createClient(LogService, transport),
    kafka,
    close: async () => {
      kafka.close();
      await Promise.all([ottla.close(), transport.close()]);
    },
  };
}

export async function readTopic(clients: GoldenClients, name: string): Promise<GoldenTopic> {
  const [topic] = await clients.ottla.admin().describeTopics([name]);
  if (topic === undefined) throw new Error(`there is no topic ${name}`);
  const configs = topic.configs.filter(({ source }) => source === "topic");
  const partitions: GoldenPartition[] = [];
  for (const { partition, leaderEpoch } of topic.partitions) {
    const logStartOffset = await offsetAt(clients, name, partition, -2);
    const endOffset = await offsetAt(clients, name, partition, -1);
    partitions.push({
      logStartOffset,
      endOffset,
      epochs: await epochsOf(clients, name, partition, leaderEpoch),
      records: await readByKafka(clients, name, partition, logStartOffset, endOffset),
    });
  }
  return { name, configs: Object.fromEntries(configs.map((entry) => [entry.name, entry.value])), partitions };
}

async function offsetAt(
  { kafka }: GoldenClients,
  name: string,
  partition: number,
  timestamp: number,
): Promise<number> {
  const { topics } = await kafka.call(listOffsets, 7, {
    replicaId: -1,
    topics: [{ name, partitions: [{ partitionIndex: partition, timestamp }] }],
  });
  return topics[0]?.partitions[0]?.offset ?? -1;
}

/** Epochs that wrote something, before the present one. */
async function epochsOf(
  { kafka }: GoldenClients,
  topic: string,
  partition: number,
  present: number,
): Promise<(readonly [number, number])[]> {
  const ends = new Map<number, number>();
  for (let leaderEpoch = 0; leaderEpoch < present; leaderEpoch += 1) {
    const { topics } = await kafka.call(offsetForLeaderEpoch, 4, {
      replicaId: -1,
      topics: [{ topic, partitions: [{ partition, leaderEpoch }] }],
    });
    const found = topics[0]?.partitions[0];
    if (found !== undefined && found.leaderEpoch >= 0) ends.set(found.leaderEpoch, found.endOffset);
  }
  return [...ends];
}

async function readByKafka(
  { kafka }: GoldenClients,
  topic: string,
  partition: number,
  from: number,
  end: number,
): Promise<GoldenRecord[]> {
  const records: GoldenRecord[] = [];
  for (let offset = from; offset < end; ) {
    const answer = await kafka.call(fetch, 12, {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 50 << 20,
      topics: [
        {
          topic,
          topicId: ZERO_UUID,
          partitions: [{ partition, fetchOffset: offset, partitionMaxBytes: 4 << 20 }],
        },
      ],
      forgottenTopicsData: [],
    });
    const found = answer.responses[0]?.partitions[0];
    if (found?.errorCode !== 0) throw new Error(`fetch of ${topic}: error ${found?.errorCode}`);
    const batches = toRecords(found.records ?? new Uint8Array(), offset);
    records.push(...batches);
    offset = (batches.at(-1)?.[0] ?? end) + 1;
  }
  return records;
}

export async function readByGrpc(
  { log }: GoldenClients,
  topic: string,
  partition: number,
  from: number,
): Promise<GoldenRecord[]> {
  const records: GoldenRecord[] = [];
  for (let offset = BigInt(from); ; ) {
    const answer = await log.fetch({ topic, partition, offset, format: ReadFormat.BATCHES });
    records.push(...toRecords(answer.batches, Number(offset)));
    if (answer.nextOffset >= answer.highWatermark) return records;
    offset = answer.nextOffset;
  }
}

function toRecords(batches: Uint8Array, from: number): GoldenRecord[] {
  return [...decodeBatches(batches)]
    .filter(({ offset }) => offset >= from)
    .map(({ offset, timestampMs, key, value, headers }) => [
      offset,
      timestampMs,
      shown(key),
      shown(value),
      headers.map((header): readonly [string, string | null] => [header.key, shown(header.value)]),
    ]);
}

const SHOWN_BYTES = 64;

function shown(bytes: Uint8Array | null | undefined): string | null {
  if (bytes === null || bytes === undefined) return null;
  if (bytes.length <= SHOWN_BYTES) return Buffer.from(bytes).toString();
  return `${bytes.length} bytes ${createHash("sha256").update(bytes).digest("hex")}`;
}

/** What a group has committed, as Kafka's clients are told. */
export async function readOffsets({ kafka }: GoldenClients, groupId: string): Promise<GoldenOffset[]> {
  const { groups } = await kafka.call(offsetFetch, 8, { groups: [{ groupId, topics: null }] });
  const topics = groups[0]?.topics ?? [];
  return topics
    .flatMap(({ name, partitions }) =>
      partitions.map(
        (found): GoldenOffset => [name, found.partitionIndex, found.committedOffset, found.metadata ?? ""],
      ),
    )
    .toSorted((left, right) => `${left[0]} ${left[1]}`.localeCompare(`${right[0]} ${right[1]}`));
}
