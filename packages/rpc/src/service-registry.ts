import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import type { CallContext, MessageStream, ServiceImplementation } from "./service.ts";

/** A stream as the transports see it: the types of its messages are known to the handler alone. */
export type UntypedStream = MessageStream<object, Message>;

type UnaryHandler = (request: Message, context: CallContext) => Promise<object>;
type ServerStreamHandler = (request: Message, stream: UntypedStream, context: CallContext) => Promise<void>;
type StreamHandler = (stream: UntypedStream, context: CallContext) => Promise<void>;

interface Method {
  readonly method: DescMethod;
  /** For example "ottla.v1.LogService/Append". */
  readonly name: string;
}

export interface UnaryMethod extends Method {
  readonly kind: "unary";
  readonly handler: UnaryHandler;
}

interface ServerStreamMethod extends Method {
  readonly kind: "server_streaming";
  readonly handler: ServerStreamHandler;
}

interface BidiStreamMethod extends Method {
  readonly kind: "streaming";
  readonly handler: StreamHandler;
}

export type StreamMethod = ServerStreamMethod | BidiStreamMethod;

/** One method with its handler, the types erased: what a transport needs to serve it. */
export type ServedMethod = UnaryMethod | StreamMethod;

/** For example "ottla.v1.LogService/Append": the gRPC path without its first slash. */
export function methodName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** The services that one node serves, over whatever transport asks. */
export class ServiceRegistry {
  readonly #services = new Map<string, DescService>();
  readonly #methods = new Map<string, ServedMethod>();

  /** Throws when the service was added before: that is a mistake in the wiring. */
  add<S extends DescService>(service: S, implementation: ServiceImplementation<S>): this {
    if (this.#services.has(service.typeName)) throw new Error(`${service.typeName} is registered already`);
    this.#services.set(service.typeName, service);
    for (const method of service.methods) {
      const served = servedMethod(method, implementation);
      this.#methods.set(served.name, served);
    }
    return this;
  }

  get services(): readonly DescService[] {
    return [...this.#services.values()];
  }

  get methods(): readonly ServedMethod[] {
    return [...this.#methods.values()];
  }

  /** By its name, for example "ottla.v1.LogService/Append". */
  find(name: string): ServedMethod | undefined {
    return this.#methods.get(name);
  }
}

function servedMethod(method: DescMethod, implementation: object): ServedMethod {
  const found: unknown = Reflect.get(implementation, method.localName);
  if (typeof found !== "function") throw new Error(`${methodName(method)} has no implementation`);
  const handler: unknown = found.bind(implementation);
  const name = methodName(method);
  // ServiceImplementation has checked the handler against the method's kind and messages
  // where it was written.
  const kind = method.methodKind;
  if (kind === "unary") return { kind, method, name, handler: handler as UnaryHandler };
  if (kind === "server_streaming") return { kind, method, name, handler: handler as ServerStreamHandler };
  return { kind: "streaming", method, name, handler: handler as StreamHandler };
}
