import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** A span as the collector got it. */
export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly isError: boolean;
}

type Fields = ReadonlyMap<number, readonly Uint8Array[]>;

/** Takes spans as a collector of OpenTelemetry does: OTLP over HTTP, in protobuf, decoded by hand. */
export class TraceCollector {
  readonly spans: CollectedSpan[] = [];
  /** What it answers; 503 is a collector in trouble. */
  status = 200;
  readonly #server: Server;
  #wake: () => void = () => undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<TraceCollector> {
    const server = createServer();
    const collector = new TraceCollector(server);
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => void chunks.push(chunk));
      request.on("end", () => {
        const isOurs = request.method === "POST" && request.url === "/v1/traces";
        if (isOurs && collector.status === 200) collector.#take(Buffer.concat(chunks));
        response.writeHead(isOurs ? collector.status : 404).end();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves with what `find` finds once all of it has come. */
  async until<T>(find: (spans: readonly CollectedSpan[]) => T | undefined): Promise<T> {
    for (;;) {
      const found = find(this.spans);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  /** ExportTraceServiceRequest, by the field numbers of opentelemetry-proto. */
  #take(request: Uint8Array): void {
    for (const resourceSpans of all(fieldsOf(request), 1)) {
      const ofResource = fieldsOf(resourceSpans);
      const resource = attributesOf(all(fieldsOf(one(ofResource, 1)), 1));
      for (const scopeSpans of all(ofResource, 2)) {
        for (const span of all(fieldsOf(scopeSpans), 2)) {
          this.spans.push(spanOf(fieldsOf(span), resource["service.name"] ?? ""));
        }
      }
    }
    this.#wake();
  }
}

function spanOf(fields: Fields, service: string): CollectedSpan {
  return {
    service,
    traceId: hex(one(fields, 1)),
    spanId: hex(one(fields, 2)),
    parentSpanId: hex(one(fields, 4)),
    name: text(one(fields, 5)),
    kind: numberOf(one(fields, 6)),
    attributes: attributesOf(all(fields, 9)),
    links: all(fields, 13).map((link) => {
      const ofLink = fieldsOf(link);
      return { traceId: hex(one(ofLink, 1)), spanId: hex(one(ofLink, 2)) };
    }),
    isError: numberOf(one(fieldsOf(one(fields, 15)), 3)) === 2,
  };
}

function attributesOf(pairs: readonly Uint8Array[]): Record<string, string> {
  const entries = pairs.map((pair) => {
    const fields = fieldsOf(pair);
    const value = fieldsOf(one(fields, 2));
    const number = one(value, 3);
    return [text(one(fields, 1)), number.length > 0 ? String(numberOf(number)) : text(one(value, 1))];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

/** The raw bytes of each field. */
function fieldsOf(message: Uint8Array): Fields {
  const reader = new BinaryReader(message);
  const fields = new Map<number, Uint8Array[]>();
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const raw = wireType === WireType.LengthDelimited ? reader.bytes() : reader.skip(wireType, number);
    fields.set(number, [...(fields.get(number) ?? []), raw]);
  }
  return fields;
}

function all(fields: Fields, number: number): readonly Uint8Array[] {
  return fields.get(number) ?? [];
}

function one(fields: Fields, number: number): Uint8Array {
  return all(fields, number)[0] ?? new Uint8Array(0);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function numberOf(varint: Uint8Array): number {
  return varint.length === 0 ? 0 : Number(new BinaryReader(varint).uint64());
}
