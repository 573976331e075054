/**
 * What our layer costs on top of grpc-js, and what a call within the process costs. Run:
 * `sh scripts/node.sh bench/rpc.ts`.
 *
 * Client and server are two processes. "bare" is grpc-js as its documentation shows it, with the
 * same messages, the same codec and the same HTTP/2 windows; "default windows" is that without
 * raised windows. Rounds are interleaved and the best counts, because the machine is shared.
 */
import { type ChildProcess, fork } from "node:child_process";
import {
  create,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import {
  AppendResponseSchema,
  LogService,
  ProduceResponseSchema,
  ReadResponseSchema,
} from "@ottla/proto/ottla/v1/log";
import { createClient, GrpcServer, GrpcTransport, InProcessTransport, ServiceRegistry } from "@ottla/rpc";
import { systemClock } from "@ottla/runtime";

const KIBIBYTE = 1024;
const WINDOW_BYTES = 8 * 1024 * KIBIBYTE;
const ROUNDS = 3;
const ROUND_MS = 1200;
const UNARY_IN_FLIGHT = 64;
const STREAM_IN_FLIGHT = 256;

type ProduceRequest = MessageShape<(typeof LogService.method.produce)["input"]>;

/** One stream to and from a server, whatever carries it. */
interface EchoStream {
  send(message: object): boolean;
  drained(): Promise<void>;
  end(): void;
  readonly received: AsyncIterable<Message>;
}

/** The calls that are measured, whatever carries them. */
interface Subject {
  readonly name: string;
  unary(batch: Uint8Array): Promise<unknown>;
  produce(): EchoStream;
  read(maxBytes: number): { readonly received: AsyncIterable<{ batches: Uint8Array }>; cancel(): void };
  close(): Promise<void>;
}

const payloadOf = (batch: Uint8Array) => ({ case: "batch", value: batch }) as const;

// ---- the server's side

/** `topic` says what a produce stream wants: an answer to each message, or one at the end. */
function registry(): ServiceRegistry {
  return new ServiceRegistry().add(LogService, {
    append: async () => create(AppendResponseSchema, { results: [{ baseOffset: 1n, recordCount: 1 }] }),
    produce: async (stream) => {
      for await (const { correlationId, topic } of stream.received) {
        if (topic !== "echo") continue;
        if (!stream.send(create(ProduceResponseSchema, { correlationId }))) await stream.drained();
      }
      stream.send(create(ProduceResponseSchema, { correlationId: -1n }));
    },
    read: async ({ maxBytes }, stream, context) => {
      const message = create(ReadResponseSchema, { batches: new Uint8Array(maxBytes) });
      while (!context.signal.aborted) {
        if (!stream.send(message)) await stream.drained();
      }
    },
    fetch: async () => ({}),
    listOffsets: async () => ({}),
    initProducer: async () => ({}),
  });
}

const writer =
  (schema: DescMessage) =>
  (message: Message): Buffer => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
const reader =
  (schema: DescMessage) =>
  (bytes: Buffer): Message =>
    fromBinary(schema, bytes);

function bareDefinition(): grpc.ServiceDefinition {
  const definition: Record<string, grpc.MethodDefinition<Message, Message>> = {};
  for (const method of LogService.methods) {
    definition[method.localName] = {
      path: `/${LogService.typeName}/${method.name}`,
      requestStream: method.methodKind === "bidi_streaming",
      responseStream: method.methodKind !== "unary",
      requestSerialize: writer(method.input),
      requestDeserialize: reader(method.input),
      responseSerialize: writer(method.output),
      responseDeserialize: reader(method.output),
    };
  }
  return definition;
}

function bareServer(): grpc.Server {
  const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.enable_channelz": 0 });
  server.addService(bareDefinition(), {
    append: (_call: grpc.ServerUnaryCall<Message, Message>, answer: grpc.sendUnaryData<Message>) =>
      answer(null, create(AppendResponseSchema, { results: [{ baseOffset: 1n, recordCount: 1 }] })),
    produce: (call: grpc.ServerDuplexStream<ProduceRequest, Message>) => {
      call.on("data", ({ correlationId, topic }: ProduceRequest) => {
        if (topic === "echo") call.write(create(ProduceResponseSchema, { correlationId }));
      });
      call.on("end", () => {
        call.write(create(ProduceResponseSchema, { correlationId: -1n }));
        call.end();
      });
    },
    read: (
      call: grpc.ServerWritableStream<MessageShape<(typeof LogService.method.read)["input"]>, Message>,
    ) => {
      const message = create(ReadResponseSchema, { batches: new Uint8Array(call.request.maxBytes) });
      const fill = () => {
        while (!call.cancelled && call.write(message));
      };
      call.on("drain", fill);
      fill();
    },
  });
  return server;
}

/** The windows that our server has, so that the layers are compared and not the windows. */
function raiseWindows(server: grpc.Server): void {
  const create: unknown = Reflect.get(server, "createHttp2Server");
  if (typeof create !== "function") throw new Error("this grpc-js hides its HTTP/2 server");
  Reflect.set(server, "commonServerOptions", { settings: { initialWindowSize: WINDOW_BYTES } });
  Reflect.set(server, "createHttp2Server", (...credentials: unknown[]) => {
    const http2Server = Reflect.apply(create, server, credentials) as NodeJS.EventEmitter;
    return http2Server.on("session", (session: { setLocalWindowSize(sizeBytes: number): void }) =>
      session.setLocalWindowSize(WINDOW_BYTES),
    );
  });
}

async function serve(kind: string): Promise<number> {
  if (kind === "ottla") {
    return new GrpcServer({ registries: [registry()], clock: systemClock, port: 0 }).start();
  }
  const server = bareServer();
  if (kind === "bare") raiseWindows(server);
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

// ---- the client's side

function ottlaSubject(
  name: string,
  upload: () => GrpcTransport | InProcessTransport,
  download = upload,
): Subject {
  const [up, down] = [upload(), download()];
  const [writing, reading] = [createClient(LogService, up), createClient(LogService, down)];
  return {
    name,
    unary: (batch) => writing.append({ payload: payloadOf(batch) }),
    produce: () => writing.produce(),
    read: (maxBytes) => reading.read({ maxBytes }),
    close: async () => {
      await up.close();
      await down.close();
    },
  };
}

function bareSubject(name: string, address: string, windowBytes: number | undefined): Subject {
  const options = { "grpc.max_receive_message_length": -1, "grpc.use_local_subchannel_pool": 1 };
  const insecure = grpc.credentials.createInsecure();
  const up = new grpc.Client(address, insecure, options);
  const wide = windowBytes === undefined ? {} : { "grpc-node.flow_control_window": windowBytes };
  const down = new grpc.Client(address, insecure, { ...options, ...wide });
  const { append, produce, read } = LogService.method;
  const path = (method: string) => `/${LogService.typeName}/${method}`;
  return {
    name,
    unary: (batch) =>
      new Promise((resolve, reject) => {
        const request = create(append.input, { payload: payloadOf(batch) });
        const answer = (error: grpc.ServiceError | null, value?: Message) =>
          error === null ? resolve(value) : reject(error);
        up.makeUnaryRequest(path("Append"), writer(append.input), reader(append.output), request, answer);
      }),
    produce: () => {
      const call = up.makeBidiStreamRequest(path("Produce"), writer(produce.input), reader(produce.output));
      return {
        send: (message) => call.write(message as Message),
        drained: () => new Promise((resolve) => call.once("drain", resolve)),
        end: () => call.end(),
        received: call,
      };
    },
    read: (maxBytes) => {
      const request = create(read.input, { maxBytes });
      const call = down.makeServerStreamRequest(
        path("Read"),
        writer(read.input),
        reader(read.output),
        request,
      );
      call.on("error", () => undefined);
      return { received: call, cancel: () => call.cancel() };
    },
    close: () => {
      up.close();
      down.close();
      return Promise.resolve();
    },
  };
}

// ---- the workloads: each returns its figure per second

async function unaryCalls(subject: Subject): Promise<number> {
  const batch = new Uint8Array(KIBIBYTE);
  const start = systemClock.monotonic();
  let calls = 0;
  const lane = async () => {
    while (systemClock.monotonic() - start < ROUND_MS) {
      await subject.unary(batch);
      calls += 1;
    }
  };
  await Promise.all(Array.from({ length: UNARY_IN_FLIGHT }, lane));
  return (calls * 1000) / (systemClock.monotonic() - start);
}

async function echoes(subject: Subject): Promise<number> {
  const { input } = LogService.method.produce;
  const payload = payloadOf(new Uint8Array(KIBIBYTE));
  const stream = subject.produce();
  const start = systemClock.monotonic();
  const send = () => stream.send(create(input, { topic: "echo", correlationId: 1n, payload }));
  for (let sent = 0; sent < STREAM_IN_FLIGHT; sent += 1) send();
  let answers = 0;
  for await (const _ of stream.received) {
    answers += 1;
    if (systemClock.monotonic() - start < ROUND_MS) send();
    else stream.end();
  }
  return (answers * 1000) / (systemClock.monotonic() - start);
}

async function upload(subject: Subject, sizeBytes: number): Promise<number> {
  const { input } = LogService.method.produce;
  const payload = payloadOf(new Uint8Array(sizeBytes));
  const stream = subject.produce();
  const start = systemClock.monotonic();
  let sentBytes = 0;
  while (systemClock.monotonic() - start < ROUND_MS) {
    sentBytes += sizeBytes;
    if (!stream.send(create(input, { topic: "upload", payload }))) await stream.drained();
  }
  stream.end();
  // The one answer comes when the server has read everything.
  for await (const _ of stream.received);
  return sentBytes / 1e6 / ((systemClock.monotonic() - start) / 1000);
}

async function download(subject: Subject, sizeBytes: number): Promise<number> {
  const stream = subject.read(sizeBytes);
  const start = systemClock.monotonic();
  let receivedBytes = 0;
  try {
    for await (const { batches } of stream.received) {
      receivedBytes += batches.length;
      if (systemClock.monotonic() - start > ROUND_MS) break;
    }
  } finally {
    stream.cancel();
  }
  return receivedBytes / 1e6 / ((systemClock.monotonic() - start) / 1000);
}

const WORKLOADS: readonly (readonly [string, (subject: Subject) => Promise<number>])[] = [
  ["unary 1 KiB, 64 in flight, calls/s", unaryCalls],
  ["bidi 1 KiB, 256 in flight, messages/s", echoes],
  ["upload 64 KiB, MB/s", (subject) => upload(subject, 64 * KIBIBYTE)],
  ["upload 1 MiB, MB/s", (subject) => upload(subject, 1024 * KIBIBYTE)],
  ["download 64 KiB, MB/s", (subject) => download(subject, 64 * KIBIBYTE)],
  ["download 1 MiB, MB/s", (subject) => download(subject, 1024 * KIBIBYTE)],
];

async function measure(subjects: readonly Subject[]): Promise<void> {
  const names = subjects.map(({ name }) => name);
  print(`| workload | ${names.join(" | ")} | ottla / bare |`);
  print(`|---|${names.map(() => "---:|").join("")}---:|`);
  for (const [workload, run] of WORKLOADS) {
    const best = new Map<string, number>(names.map((name) => [name, 0]));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const subject of subjects) {
        best.set(subject.name, Math.max(best.get(subject.name) ?? 0, await run(subject)));
      }
    }
    const ratio = (best.get("ottla") ?? 0) / (best.get("bare") ?? 1);
    const cells = [...best.values()].map((figure) => Math.round(figure).toLocaleString("en"));
    print(`| ${workload} | ${cells.join(" | ")} | ${ratio.toFixed(2)} |`);
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function startServer(kind: string): Promise<{ process: ChildProcess; address: string }> {
  const child = fork(import.meta.filename, ["serve", kind]);
  return new Promise((resolve, reject) => {
    child.once("message", (port: number) => resolve({ process: child, address: `127.0.0.1:${port}` }));
    child.once("exit", () => reject(new Error(`the ${kind} server ended`)));
  });
}

async function main(): Promise<void> {
  const [role, kind = ""] = process.argv.slice(2);
  if (role === "serve") {
    process.send?.(await serve(kind));
    process.once("disconnect", () => process.exit());
    return;
  }
  const clock = systemClock;
  const [narrow, bare, ottla] = [
    await startServer("narrow"),
    await startServer("bare"),
    await startServer("ottla"),
  ];
  const subjects = [
    bareSubject("bare, default windows", narrow.address, undefined),
    bareSubject("bare", bare.address, WINDOW_BYTES),
    ottlaSubject(
      "ottla",
      () => new GrpcTransport({ address: ottla.address, clock }),
      () => new GrpcTransport({ address: ottla.address, clock, windowBytes: WINDOW_BYTES }),
    ),
    ottlaSubject("in-process", () => new InProcessTransport({ registry: registry(), clock })),
  ];
  await measure(subjects);
  for (const subject of subjects) await subject.close();
  for (const { process: child } of [narrow, bare, ottla]) child.kill();
}

await main();
