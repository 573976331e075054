import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import type { CallOptions, RpcClient, Transport } from "./service.ts";

const NO_OPTIONS: CallOptions = {};

/** A typed client of a service over a transport. Cheap: it holds nothing but the transport. */
export function createClient<S extends DescService>(service: S, transport: Transport): RpcClient<S> {
  const client: Record<string, unknown> = {};
  for (const method of service.methods) client[method.localName] = callOf(method, transport);
  return client as RpcClient<S>;
}

function callOf(method: DescMethod, transport: Transport): unknown {
  switch (method.methodKind) {
    case "unary":
      return (request: Message, options: CallOptions = NO_OPTIONS) =>
        transport.unary(method, request, options);
    case "server_streaming":
      return (request: Message, options: CallOptions = NO_OPTIONS) => {
        const stream = transport.stream(method, options);
        stream.send(request);
        stream.end();
        return stream;
      };
    default:
      return (options: CallOptions = NO_OPTIONS) => transport.stream(method, options);
  }
}
