import { type Api, allApis, apiVersions, type Fields } from "@ottla/kafka-protocol";
import { encodeBatch } from "@ottla/records";
import { SeededRandom } from "@ottla/runtime";
import { encodeRequest, KafkaTestClient } from "./kafka-client.ts";

type Field = Fields[string];
type FieldType = Field["type"];

interface ServedVersion {
  readonly api: Api;
  readonly version: number;
}

export interface FuzzOptions {
  readonly port: number;
  readonly frames: number;
  readonly seed: number;
  /** Called now and then, to look at the server meanwhile. */
  readonly onProgress: () => Promise<void>;
}

const FRAMES_PER_CONNECTION = 8;
/** So many stay as they are: valid in form, if not in sense. */
const VALID_FRAMES = 4;
const CONNECTIONS_AT_ONCE = 8;
const PROGRESS_FRAMES = 5_000;
const NAMES = ["fuzz-a", "fuzz-b", "fuzz-c", "", "bad/name", "__consumer_offsets", "x".repeat(300)];

/**
 * Sends frames that are grown from valid requests of every served API and version: some as they are,
 * some mutated, and noise. Connections are ended after a few frames, so that nothing is left waiting.
 */
export async function fuzzKafka(options: FuzzOptions): Promise<void> {
  const random = new SeededRandom(options.seed);
  const served = await servedVersions(options.port);
  let sent = 0;
  let nextProgress = PROGRESS_FRAMES;
  while (sent < options.frames) {
    const connections = Array.from({ length: CONNECTIONS_AT_ONCE }, async () => {
      const client = await KafkaTestClient.connect(options.port);
      for (let index = 0; index < FRAMES_PER_CONNECTION; index++) sendOne(client, random, served, index);
      client.end();
      await client.untilClosed();
    });
    await Promise.all(connections);
    sent += CONNECTIONS_AT_ONCE * FRAMES_PER_CONNECTION;
    if (sent >= nextProgress) {
      nextProgress += PROGRESS_FRAMES;
      await options.onProgress();
    }
  }
}

async function servedVersions(port: number): Promise<ServedVersion[]> {
  const client = await KafkaTestClient.connect(port);
  const named = { clientSoftwareName: "fuzz", clientSoftwareVersion: "1" };
  const { apiKeys } = await client.call(apiVersions, 4, named);
  client.close();
  return apiKeys.flatMap(({ apiKey, minVersion, maxVersion }) => {
    const api = allApis.find(({ key }) => key === apiKey) as unknown as Api | undefined;
    if (api === undefined) return [];
    const first = Math.max(minVersion, api.versions.from);
    return Array.from({ length: maxVersion - first + 1 }, (_, index) => ({ api, version: first + index }));
  });
}

/**
 * The further on in a connection, the worse: what comes behind a frame that ends the
 * connection is never looked at.
 */
function sendOne(
  client: KafkaTestClient,
  random: SeededRandom,
  served: readonly ServedVersion[],
  index: number,
): void {
  if (index === FRAMES_PER_CONNECTION - 1) {
    client.sendFrame(random.bytes(random.integer(200)));
    return;
  }
  const { api, version } = served[random.integer(served.length)] as ServedVersion;
  const request = structOf(api.request, version, random, 0);
  const frame = encodeRequest(api, version, request, random.integer(1 << 30));
  const mutations = Math.max(0, index - VALID_FRAMES + 1);
  let bytes = new Uint8Array(frame);
  for (let count = 0; count < mutations; count++) bytes = mutated(bytes, random);
  client.sendFrame(bytes);
}

function mutated(bytes: Uint8Array<ArrayBuffer>, random: SeededRandom): Uint8Array<ArrayBuffer> {
  const at = random.integer(Math.max(1, bytes.byteLength));
  switch (random.integer(5)) {
    case 0: {
      const flipped = bytes.slice();
      if (at < flipped.byteLength) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.integer(8));
      return flipped;
    }
    case 1:
      return bytes.slice(0, at);
    case 2:
      return Uint8Array.from([...bytes.slice(0, at), ...random.bytes(random.integer(9)), ...bytes.slice(at)]);
    case 3:
      return bytes.slice().fill(random.integer(2) === 0 ? 0xff : 0x7f, at, at + 1 + random.integer(8));
    default:
      return Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1 + random.integer(8))]);
  }
}

function includes(range: { readonly from: number; readonly to: number }, version: number): boolean {
  return version >= range.from && version <= range.to;
}

function structOf(
  fields: Fields,
  version: number,
  random: SeededRandom,
  depth: number,
): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const { versions, nullable } = field.options;
    if (!includes(versions, version)) continue;
    const isNull = includes(nullable, version) && random.integer(5) === 0;
    message[name] = isNull ? null : valueOf(field.type, version, random, depth);
  }
  return message;
}

function valueOf(type: FieldType, version: number, random: SeededRandom, depth: number): unknown {
  switch (type.kind) {
    case "bool":
      return random.integer(2) === 0;
    case "string":
      return NAMES[random.integer(NAMES.length)];
    case "uuid":
      return random.uuid();
    case "bytes":
    case "records":
      return recordsOf(random);
    case "array":
      return Array.from({ length: random.integer(depth > 2 ? 2 : 4) }, () =>
        valueOf(type.element, version, random, depth + 1),
      );
    case "struct":
      return structOf(type.fields, version, random, depth + 1);
    case "int8":
    case "int16":
    case "int32":
    case "int64":
      return numberOf(type.kind, random);
    default: {
      const unknownKind: never = type;
      throw new TypeError(`unknown kind ${JSON.stringify(unknownKind)}`);
    }
  }
}

const BITS: Readonly<Record<string, number>> = {
  int8: 8,
  int16: 16,
  uint16: 16,
  int32: 32,
  uint32: 32,
  int64: 53,
};

/** Mostly small, where requests mean something; now and then at the ends of the range. */
function numberOf(kind: string, random: SeededRandom): number {
  const bits = BITS[kind] ?? 8;
  const isUnsigned = kind.startsWith("u");
  const max = 2 ** (isUnsigned ? bits : bits - 1) - 1;
  switch (random.integer(8)) {
    case 0:
      return max;
    case 1:
      return isUnsigned ? 0 : -max - 1;
    case 2:
      return isUnsigned ? 1 : -1 - random.integer(6);
    default:
      return random.integer(6);
  }
}

function recordsOf(random: SeededRandom): Uint8Array {
  if (random.integer(4) === 0) return random.bytes(random.integer(200));
  const batch = encodeBatch(
    Array.from({ length: 1 + random.integer(5) }, () => ({
      timestampMs: Number.MAX_SAFE_INTEGER * (random.integer(9) === 0 ? 1 : 0),
      key: random.integer(2) === 0 ? null : random.bytes(4),
      value: random.integer(3) === 0 ? null : random.bytes(random.integer(60)),
    })),
    random.integer(2) === 0
      ? {}
      : { producerId: random.integer(3), producerEpoch: 0, baseSequence: random.integer(9) },
  );
  if (random.integer(2) === 0) return batch;
  const damaged = batch.slice();
  damaged[random.integer(damaged.byteLength)] = random.integer(256);
  return damaged;
}
