import { OttlaError } from "@ottla/errors";
import type { Clock, Timer } from "./clock.ts";
import type { Connection, ConnectionHandlers, Listener, Network } from "./network.ts";

/**
 * What stands at the start of a connection that comes through a proxy: HAProxy's "The PROXY protocol",
 * version 2, the binary one. It says whom the client meant to reach, and who it is.
 */

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const FIXED_BYTES = 16;
/** Addresses take at most 216 bytes; the rest are extensions, which are skipped. */
const MAX_REST_BYTES = 4_096;
const IPV4 = 0x1;
const IPV6 = 0x2;

interface ProxiedAddresses {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface ProxyHeader {
  /** Undefined where the proxy speaks for itself (a health check) or of no TCP address. */
  readonly addresses: ProxiedAddresses | undefined;
  readonly sizeBytes: number;
}

/** The header at the start of the bytes; undefined when more bytes are needed. Throws INVALID_REQUEST. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  const known = Math.min(bytes.length, SIGNATURE.length);
  if (!bytes.subarray(0, known).equals(SIGNATURE.subarray(0, known))) {
    throw refused("the connection does not begin with a header of PROXY protocol v2");
  }
  if (bytes.length < FIXED_BYTES) return undefined;
  const versionAndCommand = bytes.readUInt8(12);
  const command = versionAndCommand & 0x0f;
  if (versionAndCommand >> 4 !== 2 || command > 1) {
    throw refused(`PROXY protocol: version and command are 0x${versionAndCommand.toString(16)}, not 0x2[01]`);
  }
  const restBytes = bytes.readUInt16BE(14);
  if (restBytes > MAX_REST_BYTES) {
    throw refused(`PROXY protocol: the header has ${restBytes} bytes, the limit is ${MAX_REST_BYTES}`);
  }
  const sizeBytes = FIXED_BYTES + restBytes;
  if (bytes.length < sizeBytes) return undefined;
  const rest = bytes.subarray(FIXED_BYTES, sizeBytes);
  return { addresses: command === 0 ? undefined : addressesOf(bytes.readUInt8(13), rest), sizeBytes };
}

function addressesOf(familyAndTransport: number, rest: Buffer): ProxiedAddresses | undefined {
  const family = familyAndTransport >> 4;
  const isStream = (familyAndTransport & 0x0f) === 1;
  if (!isStream || (family !== IPV4 && family !== IPV6)) return undefined;
  const width = family === IPV4 ? 4 : 16;
  if (rest.length < 2 * width + 4) throw refused("PROXY protocol: the header is too short for its addresses");
  const text = family === IPV4 ? ipv4 : ipv6;
  const ports = 2 * width;
  return {
    remoteAddress: `${text(rest.subarray(0, width))}:${rest.readUInt16BE(ports)}`,
    localAddress: text(rest.subarray(width, ports)),
    localPort: rest.readUInt16BE(ports + 2),
  };
}

function ipv4(bytes: Buffer): string {
  return [...bytes].join(".");
}

function ipv6(bytes: Buffer): string {
  return Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16)).join(":");
}

function refused(message: string): OttlaError {
  return new OttlaError("INVALID_REQUEST", message);
}

export interface ProxyProtocolOptions {
  readonly network: Network;
  readonly clock: Clock;
  /** Connections whose header has not come yet; further ones are closed at once. */
  readonly maxPending: number;
  readonly timeoutMs: number;
  /** A connection was closed for want of a good header. */
  readonly onRefused: (remoteAddress: string, reason: OttlaError) => void;
}

/**
 * A network whose listeners take connections from proxies only: each begins with a header of PROXY protocol
 * v2, which is read before the connection is handed on, with the addresses that it names.
 */
export function behindProxy(options: ProxyProtocolOptions): Network {
  const { network } = options;
  return {
    connect: (address) => network.connect(address),
    listen: (address, onConnection): Promise<Listener> => {
      const pending = new Set<ProxiedConnection>();
      return network.listen(address, (connection) => {
        if (pending.size >= options.maxPending) {
          connection.destroy();
          return;
        }
        const proxied = new ProxiedConnection(connection, options, (outcome) => {
          pending.delete(proxied);
          if (outcome === undefined) onConnection(proxied);
          else options.onRefused(connection.remoteAddress, outcome);
        });
        pending.add(proxied);
        proxied.readHeader();
      });
    },
  };
}

/** Waits for the header, then is a connection like any other, paused until it is started. */
class ProxiedConnection implements Connection {
  readonly #inner: Connection;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onHeader: (refusedBecause: OttlaError | undefined) => void;
  #addresses: ProxiedAddresses;
  #received: Buffer = Buffer.alloc(0);
  #timer: Timer | undefined;
  #isDecided = false;
  #hasEnded = false;
  #closed: { readonly error: Error | undefined } | undefined;
  #handlers: ConnectionHandlers | undefined;

  constructor(
    inner: Connection,
    { clock, timeoutMs }: ProxyProtocolOptions,
    onHeader: (refusedBecause: OttlaError | undefined) => void,
  ) {
    this.#inner = inner;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onHeader = onHeader;
    const { remoteAddress, localAddress, localPort } = inner;
    this.#addresses = { remoteAddress, localAddress, localPort };
  }

  get remoteAddress(): string {
    return this.#addresses.remoteAddress;
  }

  get localAddress(): string {
    return this.#addresses.localAddress;
  }

  get localPort(): number {
    return this.#addresses.localPort;
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes;
  }

  readHeader(): void {
    const late = refused(`no header of PROXY protocol v2 within ${this.#timeoutMs} ms`);
    this.#timer = this.#clock.setTimer(this.#timeoutMs, () => this.#decide(late), { background: true });
    this.#inner.start({
      onData: (chunk) => this.#onData(chunk),
      onDrain: () => this.#handlers?.onDrain(),
      onEnd: () => this.#onEnd(),
      onClose: (error) => this.#onClose(error),
    });
  }

  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    const received = this.#received;
    this.#received = Buffer.alloc(0);
    if (received.length > 0) handlers.onData(received);
    if (this.#hasEnded) handlers.onEnd();
    if (this.#closed === undefined) this.#inner.resume();
    else handlers.onClose(this.#closed.error);
  }

  write(pieces: readonly Uint8Array[]): boolean {
    return this.#inner.write(pieces);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  end(): void {
    this.#inner.end();
  }

  destroy(error?: Error): void {
    this.#inner.destroy(error);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#handlers !== undefined) {
      this.#handlers.onData(chunk);
      return;
    }
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#isDecided) return;
    try {
      const header = parseProxyHeader(this.#received);
      if (header === undefined) return;
      this.#received = this.#received.subarray(header.sizeBytes);
      if (header.addresses !== undefined) this.#addresses = header.addresses;
      this.#inner.pause();
      this.#decide(undefined);
    } catch (thrown) {
      this.#decide(thrown instanceof OttlaError ? thrown : refused(String(thrown)));
    }
  }

  #onEnd(): void {
    this.#hasEnded = true;
    this.#handlers?.onEnd();
    if (!this.#isDecided) this.#decide(refused("the connection ended before its header was complete"));
  }

  #onClose(error: Error | undefined): void {
    this.#closed = { error };
    this.#handlers?.onClose(error);
    if (!this.#isDecided) this.#decide(refused("the connection was closed before its header was complete"));
  }

  #decide(refusedBecause: OttlaError | undefined): void {
    if (this.#isDecided) return;
    this.#isDecided = true;
    this.#timer?.cancel();
    if (refusedBecause !== undefined) this.#inner.destroy();
    this.#onHeader(refusedBecause);
  }
}
