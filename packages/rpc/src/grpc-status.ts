import {
  status as GrpcCode,
  Metadata,
  type ServerInterceptingCallInterface,
  type StatusObject,
} from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";
import { tooLarge } from "./codec.ts";
import { errorFromStatus, statusFromError } from "./status.ts";

const DETAILS_KEY = "grpc-status-details-bin";

interface SentStatus {
  readonly code: GrpcCode;
  readonly details: string;
  readonly metadata: Metadata | null;
}

const OK: SentStatus = { code: GrpcCode.OK, details: "OK", metadata: null };

const CODES: ReadonlyMap<number, GrpcCode> = new Map(
  Object.values(GrpcCode)
    .filter((code) => typeof code === "number")
    .map((code) => [code, code]),
);

function grpcCode(code: number): GrpcCode {
  return CODES.get(code) ?? GrpcCode.UNKNOWN;
}

/** Ends a call on the wire: with OK when nothing was thrown. */
export function sendStatus(call: ServerInterceptingCallInterface, thrown: unknown): void {
  try {
    call.sendStatus(grpcStatusOf(thrown));
  } catch {
    // The HTTP/2 stream went away under it: there is nobody left to tell.
  }
}

/**
 * grpc-js refuses a request above its limit by itself, below our interceptor and without
 * details: `refuse` gets the error instead, to end the call with it.
 */
export function onTooLarge(
  call: ServerInterceptingCallInterface,
  limitBytes: number,
  refuse: (error: OttlaError) => void,
): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (status) => {
    const { code, details, metadata } = status;
    if (code !== GrpcCode.RESOURCE_EXHAUSTED || metadata) send(status);
    else refuse(tooLarge("the request", Number(/\((\d+) vs/u.exec(details)?.[1] ?? NaN), limitBytes));
  };
}

function grpcStatusOf(thrown: unknown): SentStatus {
  if (thrown === undefined) return OK;
  const { code, message, details } = statusFromError(thrown);
  if (details === undefined) return { code: grpcCode(code), details: message, metadata: null };
  const metadata = new Metadata();
  metadata.set(DETAILS_KEY, Buffer.from(details));
  return { code: grpcCode(code), details: message, metadata };
}

/** The error that a call's end stands for; undefined for OK. */
export function errorOfGrpcStatus(status: StatusObject, address: string): OttlaError | undefined {
  if (status.code === GrpcCode.OK) return undefined;
  const details = status.metadata.get(DETAILS_KEY)[0];
  if (details instanceof Buffer) {
    return errorFromStatus({ code: status.code, message: status.details, details });
  }
  if (status.code === GrpcCode.UNAVAILABLE) return unavailable(address, status.details);
  // Our servers always send details: this is HTTP/2 itself, for example a session that
  // was closed under the call.
  if (status.code === GrpcCode.INTERNAL && /RST_STREAM|Session closed/iu.test(status.details)) {
    return broken(address, status.details);
  }
  if (status.code === GrpcCode.DEADLINE_EXCEEDED) {
    return new OttlaError("REQUEST_TIMED_OUT", `${address} did not answer in time`, {
      metadata: { address },
      cause: new Error(status.details),
    });
  }
  return errorFromStatus({ code: status.code, message: status.details });
}

/** In an error's metadata: the peer was never reached, so the call had no effect and may be made again. */
export const NOT_SENT = "not_sent";

const NOT_REACHED = /No connection established|Name resolution failed|Failed to connect|Last error/iu;
const BROKEN = /Connection dropped|ECONNRESET|EPIPE|ETIMEDOUT|Write error|Write failed/iu;

/**
 * grpc-js says UNAVAILABLE for a peer that was never reached and for a connection that
 * broke: tell them apart.
 */
function unavailable(address: string, details: string): OttlaError {
  const options = { metadata: { address }, cause: new Error(details) };
  if (NOT_REACHED.test(details)) {
    const metadata = { ...options.metadata, [NOT_SENT]: "true" };
    return new OttlaError("UNAVAILABLE", `cannot reach ${address}`, { ...options, metadata });
  }
  if (BROKEN.test(details)) return broken(address, details);
  return new OttlaError("UNAVAILABLE", details === "" ? `${address} is unavailable` : details, options);
}

function broken(address: string, details: string): OttlaError {
  return new OttlaError("NETWORK_EXCEPTION", `the connection to ${address} broke`, {
    metadata: { address },
    cause: new Error(details),
  });
}
