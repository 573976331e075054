import { decodeRecords } from "@ottla/records";
import { describe, expect, test } from "vitest";
import { Ottla } from "../ottla.ts";
import { MemoryServer } from "../test-support/memory-server.ts";

describe("Producer over gRPC", () => {
  test("a server that restarts under load: nothing lost, nothing twice, order kept", async () => {
    const server = new MemoryServer();
    const [log] = server.createTopic("t", 1);
    await server.start();
    const ottla = new Ottla({ address: server.address });
    const producer = ottla.producer({ lingerMs: 1 });
    const sent: Promise<{ offset: bigint }>[] = [];
    for (let index = 0; index < 300; index++) {
      sent.push(producer.send({ topic: "t", value: String(index) }));
      if (index % 10 === 0) await Promise.race(sent.slice(-1));
      if (index === 100) await server.stop();
      if (index === 109) await server.start();
      if (index === 200) {
        await server.stop();
        await server.start();
      }
    }
    const delivered = await Promise.all(sent);
    const stored = (log?.batches ?? []).flatMap(({ bytes }) =>
      [...decodeRecords(bytes)].map(({ value }) => Buffer.from(value ?? []).toString()),
    );
    expect(stored).toEqual(Array.from({ length: 300 }, (_, index) => String(index)));
    expect(delivered.map(({ offset }) => Number(offset))).toEqual(stored.map(Number));
    await ottla.close();
    await server.stop();
  });
});
