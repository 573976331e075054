import { OttlaError } from "@ottla/errors";
import * as fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import type { Connection, Listener } from "./network.ts";
import { NodeNetwork } from "./node-network.ts";
import { behindProxy, parseProxyHeader } from "./proxy-protocol.ts";
import { VirtualClock } from "./virtual-clock.ts";

const HOST = "127.0.0.1";
const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const TCP4 = header(0x21, 0x11, Buffer.from([192, 0, 2, 7, 198, 51, 100, 9, 0xc3, 0x50, 0x23, 0x84]));
const listeners: Listener[] = [];

afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
});

function header(versionAndCommand: number, family: number, rest: Buffer): Buffer {
  const fixed = Buffer.from([versionAndCommand, family, rest.length >> 8, rest.length & 0xff]);
  return Buffer.concat([SIGNATURE, fixed, rest]);
}

test("a header names the client and the address that it has reached, over IPv4 and IPv6", () => {
  expect(parseProxyHeader(Buffer.concat([TCP4, Buffer.from("more")]))).toEqual({
    sizeBytes: 28,
    addresses: { remoteAddress: "192.0.2.7:50000", localAddress: "198.51.100.9", localPort: 9092 },
  });
  const rest = Buffer.alloc(36 + 5);
  rest.writeUInt16BE(0x2001, 0);
  rest.writeUInt16BE(0xdb8, 18);
  rest.writeUInt16BE(50_000, 32);
  rest.writeUInt16BE(9_092, 34);
  expect(parseProxyHeader(header(0x21, 0x21, rest))).toEqual({
    sizeBytes: 16 + 41,
    addresses: {
      remoteAddress: "2001:0:0:0:0:0:0:0:50000",
      localAddress: "0:db8:0:0:0:0:0:0",
      localPort: 9092,
    },
  });
});

test("a health check of the proxy itself, and what is not TCP, keep the connection's own addresses", () => {
  expect(parseProxyHeader(header(0x20, 0x00, Buffer.alloc(0)))).toEqual({
    sizeBytes: 16,
    addresses: undefined,
  });
  expect(parseProxyHeader(header(0x21, 0x31, Buffer.alloc(216)))?.addresses).toBeUndefined();
});

test("every prefix of a header asks for more, and nothing else is taken for one", () => {
  for (let length = 0; length < TCP4.length; length += 1) {
    expect(parseProxyHeader(TCP4.subarray(0, length))).toBeUndefined();
  }
  expect(() => parseProxyHeader(Buffer.from("PROXY TCP4"))).toThrow(/PROXY protocol v2/);
  expect(() => parseProxyHeader(header(0x11, 0x11, Buffer.alloc(12)))).toThrow(/version/);
  expect(() => parseProxyHeader(header(0x21, 0x11, Buffer.alloc(11)))).toThrow(/too short/);
  expect(() => parseProxyHeader(header(0x21, 0x11, Buffer.alloc(5_000)))).toThrow(/limit/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const whole = Buffer.concat([SIGNATURE, bytes]);
      const outcome = outcomeOf(whole);
      const sizeBytes = typeof outcome === "number" ? outcome : 0;
      expect([undefined, sizeBytes, "INVALID_REQUEST"]).toContain(outcome);
      expect(sizeBytes).toBeLessThanOrEqual(whole.length);
    }),
  );
});

/** The header's size, undefined where it is not complete, or the code of the error. */
function outcomeOf(bytes: Buffer): number | string | undefined {
  try {
    return parseProxyHeader(bytes)?.sizeBytes;
  } catch (thrown) {
    return thrown instanceof OttlaError ? thrown.code : "not an OttlaError";
  }
}

async function open(clock: VirtualClock, maxPending = 10) {
  const accepted = Promise.withResolvers<Connection>();
  const refused: string[] = [];
  const onRefused = (_peer: string, { message }: Error): void => void refused.push(message);
  const network = behindProxy({
    network: new NodeNetwork(),
    clock,
    maxPending,
    timeoutMs: 1_000,
    onRefused,
  });
  const listener = await network.listen({ host: HOST, port: 0 }, accepted.resolve);
  listeners.push(listener);
  const connect = (): Promise<Connection> => network.connect({ host: HOST, port: listener.port });
  return { accepted: accepted.promise, refused, connect };
}

function untilClosed(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    const ignore = (): void => undefined;
    connection.start({
      onData: ignore,
      onDrain: ignore,
      onEnd: () => connection.destroy(),
      onClose: () => resolve(),
    });
  });
}

test("what follows the header reaches the connection whole and in order, however it is cut", async () => {
  const { accepted, connect } = await open(new VirtualClock());
  const client = await connect();
  client.write([TCP4.subarray(0, 5)]);
  client.write([Buffer.concat([TCP4.subarray(5), Buffer.from("first ")])]);
  const server = await accepted;
  expect(server).toMatchObject({ remoteAddress: "192.0.2.7:50000", localPort: 9092 });
  client.write([Buffer.from("second")]);
  client.end();
  const chunks: Uint8Array[] = [];
  await new Promise<void>((resolve) => {
    server.start({
      onData: (chunk) => void chunks.push(Buffer.from(chunk)),
      onDrain: () => undefined,
      onEnd: resolve,
      onClose: () => undefined,
    });
  });
  expect(Buffer.concat(chunks).toString()).toBe("first second");
  server.end();
});

test("a connection without a header, or with a late one, is closed and named", async () => {
  const clock = new VirtualClock();
  const { connect, refused } = await open(clock);
  const stranger = await connect();
  stranger.write([Buffer.from("GET / HTTP/1.1\r\n\r\n")]);
  await untilClosed(stranger);
  const silent = await connect();
  const closed = untilClosed(silent);
  await clock.advance(1_000);
  await closed;
  expect(refused).toEqual([
    expect.stringContaining("does not begin with"),
    expect.stringContaining("within 1000 ms"),
  ]);
});
