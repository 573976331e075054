import {
  Channel,
  type ChannelOptions,
  type ClientDuplexStream,
  type ClientUnaryCall,
  connectivityState,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { type OttlaError, toOttlaError } from "@ottla/errors";
import type { Clock, Logger } from "@ottla/runtime";
import type {
  IAuthenticateRequest,
  IAuthenticateResponse,
  ILeaseGrantRequest,
  ILeaseGrantResponse,
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  ILeaseRevokeRequest,
  ILeaseRevokeResponse,
  IRangeRequest,
  IRangeResponse,
  IStatusRequest,
  IStatusResponse,
  ITxnRequest,
  ITxnResponse,
  IWatchRequest,
  IWatchResponse,
} from "etcd3";
// The pool around this class retries transactions, closes channels under other calls and leaks one per login.
import { Host } from "etcd3/lib/connection-pool.js";
import { storeClosed } from "../transaction-limits.ts";
import { etcdCallError, etcdError, failureOf, mayAnswerElsewhere } from "./etcd-errors.ts";
import type { EtcdMetrics } from "./etcd-metrics.ts";
import type { ChannelSecurity } from "./etcd-tls.ts";
import { ETCD_VERSION_RECOMMENDED, ETCD_VERSION_REQUIRED, judgeEtcdVersion } from "./etcd-version.ts";

/** The calls that are answered once, as Service.method, with request and response. */
interface UnaryCalls {
  "KV.range": [IRangeRequest, IRangeResponse];
  "KV.txn": [ITxnRequest, ITxnResponse];
  "Lease.leaseGrant": [ILeaseGrantRequest, ILeaseGrantResponse];
  "Lease.leaseRevoke": [ILeaseRevokeRequest, ILeaseRevokeResponse];
  "Maintenance.status": [IStatusRequest, IStatusResponse];
  "Auth.authenticate": [IAuthenticateRequest, IAuthenticateResponse];
}

interface StreamCalls {
  "Watch.watch": [IWatchRequest, IWatchResponse];
  "Lease.leaseKeepAlive": [ILeaseKeepAliveRequest, ILeaseKeepAliveResponse];
}

type ServiceName = Parameters<Host["getServiceClient"]>[0];
type Callback = (error: ServiceError | null, response: unknown) => void;
type UnaryMethod = (request: unknown, metadata: Metadata, callback: Callback) => ClientUnaryCall;
type StreamMethod = (metadata: Metadata) => unknown;

export interface EtcdCredentials {
  readonly username: string;
  readonly password: string;
}

export interface EtcdEndpointOptions extends ChannelSecurity {
  /** "host:port". */
  readonly address: string;
  readonly credentials: EtcdCredentials | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: EtcdMetrics;
}

/** Larger than any page of a range: see `PAGE_KEYS`. etcd3 leaves gRPC's 4 MiB in force. */
const MAX_RECEIVED_BYTES = 400 * 1024 * 1024;

const CHANNEL_OPTIONS: ChannelOptions = {
  // A connection of its own per store and member, which the services share.
  "grpc.use_local_subchannel_pool": 1,
  // No call is ever sent twice by gRPC.
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // A member that came back is found within a second, not after gRPC's two minutes.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
  "grpc.dns_min_time_between_resolutions_ms": 1000,
  // Finds dead connections under watches. etcd closes connections that ping more often
  // than every 5 s or without calls.
  "grpc.keepalive_time_ms": 6000,
  "grpc.keepalive_timeout_ms": 3000,
  "grpc.max_receive_message_length": MAX_RECEIVED_BYTES,
  "grpc.max_send_message_length": MAX_RECEIVED_BYTES,
};

/** A channel with the service clients over it. */
interface Connection {
  readonly channel: Channel;
  readonly host: Host;
  readonly openedAtMs: number;
}

function openConnection(options: EtcdEndpointOptions): Connection {
  const { address, channelCredentials, channelOptions, clock } = options;
  const channel = new Channel(address, channelCredentials, { ...CHANNEL_OPTIONS, ...channelOptions });
  const host = new Host(address, channelCredentials, { channelOverride: channel });
  return { channel, host, openedAtMs: clock.monotonic() };
}

/** The least age at which a connection that swallowed a request is given up. */
const SILENCE_MS = 1000;

/** The same while it is being made. gRPC itself waits for ever for a peer that accepts but says nothing. */
const CONNECT_SILENCE_MS = 10_000;

/**
 * One member of the etcd cluster: one connection, every call sent once and with a
 * deadline on the clock, logged in and its version checked before the first use.
 */
export class EtcdEndpoint {
  readonly address: string;
  readonly #options: EtcdEndpointOptions;
  #connection: Connection;
  readonly #running = new Set<{ cancel(): void }>();
  #version: string | undefined;
  #token: string | undefined;
  #login: Promise<void> | undefined;
  #closed = false;

  constructor(options: EtcdEndpointOptions) {
    this.address = options.address;
    this.#options = options;
    this.#connection = openConnection(options);
  }

  /** Connects, checks the version and logs in, as far as that is still to do. */
  async prepare(timeoutMs: number): Promise<void> {
    if (this.#closed) throw storeClosed("metadata store");
    const { clock } = this.#options;
    const untilMs = clock.monotonic() + timeoutMs;
    const leftMs = (): number => Math.max(1, untilMs - clock.monotonic());
    await this.#connect(leftMs);
    if (this.#options.credentials !== undefined && this.#token === undefined) await this.#logIn(leftMs());
    // Newer members of 3.5 and 3.6 tell their version only to those who have logged in.
    if (this.#version === undefined) await this.status(leftMs());
  }

  /** Asks the member for its version and checks it. */
  async status(timeoutMs: number): Promise<string> {
    const { version } = await this.call("Maintenance.status", {}, timeoutMs).catch((thrown: unknown) => {
      // Without credentials no other try will find a login.
      if (this.#options.credentials !== undefined || failureOf(thrown) !== "token") throw thrown;
      throw etcdError("refused", toOttlaError(thrown).message, thrown);
    });
    const verdict = judgeEtcdVersion(version);
    if (verdict === "refused") {
      throw etcdError(
        "refused",
        `etcd at ${this.address} is version ${version}, needs ${ETCD_VERSION_REQUIRED} or newer`,
      );
    }
    if (verdict === "old" && version !== this.#version) {
      this.#options.logger.warn(
        { endpoint: this.address, version },
        `etcd is older than ${ETCD_VERSION_RECOMMENDED}, which is known to be sound: upgrade it`,
      );
    }
    this.#version = version;
    return version;
  }

  /**
   * Sends a request once. Only when etcd has forgotten our login, which it notices before
   * it does anything, the request is sent again after a new one.
   */
  async call<K extends keyof UnaryCalls>(
    name: K,
    request: UnaryCalls[K][0],
    timeoutMs: number,
  ): Promise<UnaryCalls[K][1]> {
    const { clock, credentials } = this.#options;
    const untilMs = clock.monotonic() + timeoutMs;
    const token = this.#token;
    try {
      return await this.#send(name, request, timeoutMs);
    } catch (thrown) {
      if (failureOf(thrown) !== "token" || credentials === undefined) throw thrown;
      this.forgetToken(token);
      if (this.#token === undefined) await this.#logIn(Math.max(1, untilMs - clock.monotonic()));
      return await this.#send(name, request, Math.max(1, untilMs - clock.monotonic()));
    }
  }

  /** A stream in both directions. The caller listens to "error" and cancels it. */
  stream<K extends keyof StreamCalls>(
    name: K,
    headers: Readonly<Record<string, string>> = {},
  ): ClientDuplexStream<StreamCalls[K][0], StreamCalls[K][1]> {
    if (this.#closed) throw storeClosed("metadata store");
    const metadata = this.#metadata();
    for (const [key, value] of Object.entries(headers)) metadata.set(key, value);
    const { client, method } = this.#method(name);
    const stream = (method as StreamMethod).call(client, metadata) as ClientDuplexStream<
      StreamCalls[K][0],
      StreamCalls[K][1]
    >;
    this.#running.add(stream);
    const forget = (): void => void this.#running.delete(stream);
    stream.on("close", forget).on("status", forget).on("error", forget);
    return stream;
  }

  /** The next use logs in again, unless somebody has already. */
  forgetToken(token = this.#token): void {
    if (this.#token === token) this.#token = undefined;
  }

  /** To be called when a stream had no answer in time: later calls get another connection. */
  suspect(): void {
    this.#renew(this.#connection, SILENCE_MS);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#running) call.cancel();
    this.#running.clear();
    this.#connection.channel.close();
  }

  /** Waits until the connection is there; gives up as soon as an attempt to make it has failed. */
  async #connect(leftMs: () => number): Promise<void> {
    for (;;) {
      const { channel } = this.#connection;
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      if (this.#closed || state === connectivityState.SHUTDOWN) throw storeClosed("metadata store");
      if (state === connectivityState.TRANSIENT_FAILURE) {
        // Fails at once, and its error says why there is no connection.
        await this.#send("Maintenance.status", {}, leftMs());
        continue;
      }
      const deadline = new Date(this.#options.clock.now() + leftMs());
      const isChanged = await new Promise<boolean>((resolve) => {
        channel.watchConnectivityState(state, deadline, (error) => resolve(error === undefined));
      });
      if (isChanged) continue;
      this.#renew(this.#connection, CONNECT_SILENCE_MS);
      throw etcdError("timeout", `etcd at ${this.address} does not accept the connection`);
    }
  }

  /** Several calls that find no token share one login. */
  async #logIn(timeoutMs: number): Promise<void> {
    const { credentials } = this.#options;
    if (credentials === undefined) return;
    const { username: name, password } = credentials;
    this.#login ??= this.#send("Auth.authenticate", { name, password }, timeoutMs)
      .then(({ token }) => {
        this.#token = token;
      })
      .finally(() => {
        this.#login = undefined;
      });
    await this.#login;
  }

  #send<K extends keyof UnaryCalls>(
    name: K,
    request: UnaryCalls[K][0],
    timeoutMs: number,
  ): Promise<UnaryCalls[K][1]> {
    const { clock, metrics } = this.#options;
    const startedAtMs = clock.monotonic();
    return new Promise((resolve, reject) => {
      if (this.#closed) throw storeClosed("metadata store");
      const connection = this.#connection;
      const { client, method } = this.#method(name);
      let isTimeUp = false;
      const call = (method as UnaryMethod).call(client, request, this.#metadata(), (error, response) => {
        timer.cancel();
        this.#running.delete(call);
        const outcome = error === null ? "ok" : isTimeUp ? "timeout" : "error";
        metrics.observe(name, outcome, clock.monotonic() - startedAtMs);
        if (error === null) {
          metrics.answered(true);
          resolve(response as UnaryCalls[K][1]);
          return;
        }
        const failure = isTimeUp ? this.#timeUp(name, timeoutMs) : this.#failed(name, error);
        metrics.answered(!mayAnswerElsewhere(failure));
        reject(failure);
      });
      this.#running.add(call);
      const timer = clock.setTimer(timeoutMs, () => {
        isTimeUp = true;
        this.#renew(connection, SILENCE_MS);
        call.cancel();
      });
    });
  }

  /**
   * A connection that swallowed a request may be dead without saying so, and gRPC finds that out only
   * after seconds, which a lease may not have. Streams on the old connection go on as long as it lives.
   */
  #renew(connection: Connection, ageMs: number): void {
    if (this.#closed || connection !== this.#connection) return;
    if (this.#options.clock.monotonic() - connection.openedAtMs < ageMs) return;
    this.#connection = openConnection(this.#options);
    connection.channel.close();
  }

  #timeUp(name: string, timeoutMs: number): OttlaError {
    return etcdError(
      "timeout",
      `etcd at ${this.address} did not answer ${name} in ${Math.ceil(timeoutMs)} ms`,
    );
  }

  #failed(name: string, error: ServiceError): OttlaError {
    if (this.#closed) return storeClosed("metadata store");
    return etcdCallError(`${name} at etcd ${this.address}`, error);
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#token !== undefined) metadata.set("token", this.#token);
    return metadata;
  }

  /** The methods of etcd3's clients are made at run time from the protocol files, so no types know them. */
  #method(name: string): { readonly client: unknown; readonly method: unknown } {
    const [service = "", method = ""] = name.split(".");
    const client = this.#connection.host.getServiceClient(service as ServiceName);
    return { client, method: (client as unknown as Record<string, unknown>)[method] };
  }
}
