/** Byte streams between processes. `NodeNetwork` carries them over TCP. */
export interface Network {
  /**
   * Accepts connections until the listener is closed. Throws `OttlaError` UNAVAILABLE
   * when the address is taken.
   */
  listen(address: ListenAddress, onConnection: (connection: Connection) => void): Promise<Listener>;
  /** Opens a connection. Throws `OttlaError` UNAVAILABLE when nothing answers within the timeout. */
  connect(address: ConnectAddress): Promise<Connection>;
}

export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface ConnectAddress {
  readonly host: string;
  readonly port: number;
  /** Default 10,000 ms. */
  readonly timeoutMs?: number;
}

export interface Listener {
  readonly port: number;
  /** Stops accepting; connections that exist go on. */
  close(): Promise<void>;
}

export interface ConnectionHandlers {
  /** The next bytes. The chunk may share memory with others: copy what is kept for long. */
  onData(chunk: Uint8Array): void;
  /** What was queued has gone out: called after `write` returned false. */
  onDrain(): void;
  /** The peer sends no more; this side may still write. */
  onEnd(): void;
  /** The connection is over; called exactly once, last. */
  onClose(error: Error | undefined): void;
}

export interface Connection {
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
  /** Begins to deliver. Nothing is read from the peer before. */
  start(handlers: ConnectionHandlers): void;
  /**
   * Queues pieces in order; they must not change afterwards. Returns false when more is
   * queued than should be: the caller waits for `onDrain` before the next one.
   */
  write(pieces: readonly Uint8Array[]): boolean;
  /** Bytes that were written and have not gone out. */
  readonly queuedBytes: number;
  /** Stops reading, which slows the peer once the buffers between are full. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then says that no more follows. */
  end(): void;
  /** Drops the connection at once. */
  destroy(error?: Error): void;
}
