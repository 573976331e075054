import { type ConsumedRecord, Ottla } from "@ottla/client";
import type { OttlaServer } from "../../support/ottla-server.ts";

/**
 * All records of a partition, read with the SDK over gRPC: the other way in than the
 * client that produced them.
 */
export async function readOverGrpc(
  server: OttlaServer,
  topic: string,
  partition = 0,
): Promise<ConsumedRecord[]> {
  const client = new Ottla({ address: server.address });
  try {
    const consumer = client.consumer();
    await consumer.assign([{ topic, partition, offset: "earliest" }]);
    const records: ConsumedRecord[] = [];
    for await (const record of consumer.records({ stopAtEnd: true })) records.push(record);
    return records;
  } finally {
    await client.close();
  }
}

export function textOf(bytes: Uint8Array | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : new TextDecoder().decode(bytes);
}
