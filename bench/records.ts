/**
 * How fast record batches are written, checked and read on one core. Run: `sh scripts/node.sh
 * bench/records.ts`. Figures are the best of several rounds, because the machine is shared.
 */
import {
  BatchBuilder,
  COMPRESSIONS,
  type Compression,
  decodeRecords,
  encodeBatch,
  type RecordInput,
  readBatchHeader,
  validateBatch,
} from "@ottla/records";
import { systemClock } from "@ottla/runtime";

const ROUNDS = 7;
const RECORDS_PER_ROUND = 300_000;
const BATCH_BYTES = 256 * 1024;

function bestSeconds(work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = systemClock.monotonic();
    work();
    best = Math.min(best, (systemClock.monotonic() - start) / 1000);
  }
  return best;
}

/** Like text: words in random order, so that the codecs have something to find and something to keep. */
function makeValue(sizeBytes: number, seed: number): Uint8Array {
  const words = ["topic", "partition", "record", "offset", "leader", "epoch", "replica", "segment", "batch"];
  let state = seed + 1;
  let text = "";
  while (text.length < sizeBytes) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    text += `${words[(state >> 8) % words.length]}-${(state >> 12) % 1000} `;
  }
  return new TextEncoder().encode(text.slice(0, sizeBytes));
}

function makeRecords(valueBytes: number): RecordInput[] {
  return Array.from({ length: 1000 }, (_, index) => ({
    timestampMs: 1_700_000_000_000 + index,
    key: new TextEncoder().encode(`key-${index}`),
    value: makeValue(valueBytes, index),
  }));
}

function fill(builder: BatchBuilder, records: readonly RecordInput[], count: number): number {
  let builtBytes = 0;
  for (let index = 0; index < count; index++) {
    const record = records[index % records.length];
    if (record === undefined) continue;
    if (builder.append(record) < BATCH_BYTES) continue;
    builtBytes += builder.build().length;
    builder.reset();
  }
  return builtBytes;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function perSecond(count: number, seconds: number): string {
  return `${Math.round(count / seconds).toLocaleString("en")}/s`;
}

function benchAppend(valueBytes: number): void {
  const records = makeRecords(valueBytes);
  const builder = new BatchBuilder();
  const seconds = bestSeconds(() => {
    builder.reset();
    fill(builder, records, RECORDS_PER_ROUND);
  });
  print(`append + build, ${valueBytes} B values: ${perSecond(RECORDS_PER_ROUND, seconds)} records`);
}

function benchDecode(valueBytes: number): void {
  const records = makeRecords(valueBytes);
  const batch = encodeBatch(records);
  const walks = RECORDS_PER_ROUND / records.length;
  let seen = 0;
  const seconds = bestSeconds(() => {
    for (let walk = 0; walk < walks; walk++) {
      for (const record of decodeRecords(batch)) seen += record.value?.length ?? 0;
    }
  });
  if (seen !== ROUNDS * RECORDS_PER_ROUND * valueBytes) throw new Error("records went missing");
  print(`decode, ${valueBytes} B values: ${perSecond(RECORDS_PER_ROUND, seconds)} records`);
}

function benchHeader(): void {
  const batch = encodeBatch(makeRecords(100).slice(0, 10));
  const calls = 500_000;
  let seen = 0;
  const read = bestSeconds(() => {
    for (let call = 0; call < calls; call++) seen += readBatchHeader(batch).recordCount;
  });
  const validate = bestSeconds(() => {
    for (let call = 0; call < calls; call++) seen += validateBatch(batch).recordCount;
  });
  if (seen !== 2 * ROUNDS * calls * 10) throw new Error("batches went missing");
  print(`readBatchHeader: ${Math.round((read / calls) * 1e9)} ns`);
  print(`validateBatch of ${batch.length} bytes: ${Math.round((validate / calls) * 1e9)} ns, CRC included`);
}

function benchCodec(compression: Compression): void {
  const records = makeRecords(1000).slice(0, 256);
  const builder = new BatchBuilder({ compression });
  for (const record of records) builder.append(record);
  const batch = builder.build();
  const rounds = 40;
  const megabytes = (builder.sizeBytes * rounds) / 1e6;
  const encode = bestSeconds(() => {
    for (let round = 0; round < rounds; round++) builder.build();
  });
  const decode = bestSeconds(() => {
    for (let round = 0; round < rounds; round++) decodeRecords(batch)[Symbol.iterator]().next();
  });
  print(
    `${compression}: ${(builder.sizeBytes / batch.length).toFixed(1)} times smaller, ` +
      `build ${Math.round(megabytes / encode)} MB/s, open ${Math.round(megabytes / decode)} MB/s`,
  );
}

benchAppend(100);
benchAppend(1024);
benchDecode(100);
benchDecode(1024);
benchHeader();
for (const compression of COMPRESSIONS) benchCodec(compression);
