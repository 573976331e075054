import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import { toOttlaError } from "@ottla/errors";
import { failedStream } from "./failed-stream.ts";
import type { CallOptions, ClientStream, RpcClient, Transport } from "./service.ts";

const NO_OPTIONS: CallOptions = {};

/** A typed client of a service over a transport. Cheap: it holds nothing but the transport. */
export function createClient<S extends DescService>(service: S, transport: Transport): RpcClient<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) client[method.localName] = callOf(method, transport);
  return client as RpcClient<S>;
}

function callOf(method: DescMethod, transport: Transport): unknown {
  if (method.methodKind === "unary") {
    return (request: Message, options: CallOptions = NO_OPTIONS) => transport.unary(method, request, options);
  }
  if (method.methodKind === "server_streaming") {
    return (request: Message, options: CallOptions = NO_OPTIONS) =>
      askForStream(method, transport, request, options);
  }
  return (options: CallOptions = NO_OPTIONS) => transport.stream(method, options);
}

function askForStream(
  method: DescMethod,
  transport: Transport,
  request: Message,
  options: CallOptions,
): ClientStream<unknown, Message> {
  const stream = transport.stream(method, options);
  try {
    stream.send(request);
    stream.end();
    return stream;
  } catch (error) {
    stream.cancel();
    return failedStream(toOttlaError(error));
  }
}
