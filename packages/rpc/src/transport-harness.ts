import { OttlaError } from "@ottla/errors";
import { LogService } from "@ottla/proto/ottla/v1/log";
import { type Clock, createLogger, type MetricsRegistry, systemClock } from "@ottla/runtime";
import { createClient } from "./create-client.ts";
import { GrpcServer } from "./grpc-server.ts";
import { GrpcTransport } from "./grpc-transport.ts";
import { InProcessTransport } from "./in-process-transport.ts";
import type { RpcClient, ServiceImplementation, Transport } from "./service.ts";
import { ServiceRegistry } from "./service-registry.ts";
import type { CallEnd, SimulatedConnection } from "./simulated-network.ts";
import { SimulatedServer } from "./simulated-server.ts";
import { SimulatedTransport } from "./simulated-transport.ts";

// What the tests of every transport share: one service behind each of them.

export type LogHandlers = ServiceImplementation<typeof LogService>;

export interface Limits {
  readonly maxMessageBytes?: number;
  readonly maxUnsentBytesPerStream?: number;
  readonly maxUnreadBytesPerStream?: number;
  readonly windowBytes?: number;
  readonly metrics?: MetricsRegistry;
}

export interface Served {
  readonly client: RpcClient<typeof LogService>;
  readonly transport: Transport;
  /** Lines of the server's log, as pino wrote them. */
  readonly logLines: string[];
  /** Undefined where there is no server to stop. */
  readonly server: GrpcServer | undefined;
  close(): Promise<void>;
}

export interface Harness {
  readonly name: "gRPC" | "in-process" | "in-process, copying" | "simulated";
  readonly serve: (handlers: Partial<LogHandlers>, limits?: Limits) => Promise<Served>;
}

export const harnesses: readonly Harness[] = [
  { name: "gRPC", serve: serveOverGrpc },
  { name: "in-process", serve: (handlers, limits) => serveInProcess(handlers, limits, false) },
  { name: "in-process, copying", serve: (handlers, limits) => serveInProcess(handlers, limits, true) },
  { name: "simulated", serve: serveSimulated },
];

/** A registry of the log service whose other methods answer with nothing. */
export function logRegistry(handlers: Partial<LogHandlers>): ServiceRegistry {
  return new ServiceRegistry().add(LogService, {
    append: async () => ({}),
    produce: async () => undefined,
    fetch: async () => ({}),
    read: async () => undefined,
    listOffsets: async () => ({}),
    initProducer: async () => ({}),
    ...handlers,
  });
}

export async function serveOverGrpc(
  handlers: Partial<LogHandlers>,
  limits: Limits = {},
  serverClock: Clock = systemClock,
): Promise<Served> {
  const { logger, logLines } = memoryLogger();
  const server = new GrpcServer({
    registries: [logRegistry(handlers)],
    clock: serverClock,
    port: 0,
    logger,
    ...limits,
  });
  const port = await server.start();
  const { windowBytes: _serversOwn, metrics: _serversToo, ...clientLimits } = limits;
  const transport = new GrpcTransport({ address: `127.0.0.1:${port}`, clock: systemClock, ...clientLimits });
  const close = async () => {
    await transport.close();
    await server.stop(0);
  };
  return { client: createClient(LogService, transport), transport, logLines, server, close };
}

function serveInProcess(handlers: Partial<LogHandlers>, limits: Limits = {}, copy: boolean): Promise<Served> {
  const { logger, logLines } = memoryLogger();
  const transport = new InProcessTransport({
    registry: logRegistry(handlers),
    clock: systemClock,
    logger,
    copy,
    ...limits,
  });
  return Promise.resolve({
    client: createClient(LogService, transport),
    transport,
    logLines,
    server: undefined,
    close: () => transport.close(),
  });
}

/** A network without faults, in which everything takes a turn. */
function serveSimulated(handlers: Partial<LogHandlers>, limits: Limits = {}): Promise<Served> {
  const { logger, logLines } = memoryLogger();
  const server = new SimulatedServer({ clock: systemClock, logger, ...limits });
  server.add(logRegistry(handlers));
  const transport = new SimulatedTransport({
    address: "simulated:1",
    dialer: {
      dial: (_address, handlers) =>
        systemClock.nextTurn(() => handlers.onConnected(perfectConnection(server))),
    },
    clock: systemClock,
    ...limits,
  });
  return Promise.resolve({
    client: createClient(LogService, transport),
    transport,
    logLines,
    server: undefined,
    close: () => transport.close(),
  });
}

function perfectConnection(server: SimulatedServer): SimulatedConnection {
  const ends = new Set<CallEnd>();
  return {
    server,
    openWire: () => ({
      toServer: (_sizeBytes, arrive) => systemClock.nextTurn(arrive),
      toClient: (_sizeBytes, arrive) => systemClock.nextTurn(arrive),
    }),
    serverEnd: (_wire, served) => void ends.add(served),
    close: () => {
      const error = new OttlaError("NETWORK_EXCEPTION", "the connection broke");
      systemClock.nextTurn(() => {
        for (const end of ends) end.onBroken(error);
      });
    },
  };
}

function memoryLogger() {
  const logLines: string[] = [];
  const destination = { write: (line: string) => void logLines.push(line) };
  return { logger: createLogger({ level: "warn", format: "json", destination }), logLines };
}

/** A promise and what settles it: for tests that wait for an event. */
export function event<T = void>(): { readonly happened: Promise<T>; readonly fire: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>();
  return { happened: promise, fire: resolve };
}

export async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

/** What a call fails with. */
export function failureOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Resolves when the signal aborts, with its reason. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener("abort", () => resolve(signal.reason), { once: true });
  });
}
