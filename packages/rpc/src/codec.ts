import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";
import { type EncodedMessage, encodeMessage } from "./encoded-message.ts";

/** Encodes what a caller passed: what cannot be encoded (an int32 out of range) is INVALID_REQUEST. */
export function encodeRequest(schema: DescMessage, message: object): EncodedMessage {
  try {
    return encodeMessage(schema, message);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OttlaError("INVALID_REQUEST", `the request cannot be encoded: ${reason}`, {
      cause: error,
      metadata: { message: schema.typeName },
    });
  }
}

/** Decodes what a caller sent. Fields of type `bytes` are views of it. Throws INVALID_REQUEST. */
export function decodeRequest(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new OttlaError(
      "INVALID_REQUEST",
      `the request is no ${schema.typeName}: its bytes cannot be decoded`,
      {
        cause: error,
        metadata: { message: schema.typeName },
      },
    );
  }
}

/** Decodes what a server answered. */
export function decodeResponse(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new OttlaError("UNKNOWN_SERVER_ERROR", `the answer of the server is no ${schema.typeName}`, {
      cause: error,
      metadata: { message: schema.typeName },
    });
  }
}

/**
 * The refusal of a message above the limit; its size may be unknown (NaN), when only its beginning was read.
 * Sending it again cannot help: the code must not be retriable.
 */
export function tooLarge(what: string, sizeBytes: number, limitBytes: number): OttlaError {
  const limit = `the limit for one message is ${limitBytes} bytes`;
  if (Number.isNaN(sizeBytes)) {
    const metadata = { limitBytes: String(limitBytes) };
    return new OttlaError("MESSAGE_TOO_LARGE", `${what} is too large: ${limit}`, { metadata });
  }
  return new OttlaError("MESSAGE_TOO_LARGE", `${what} has ${sizeBytes} bytes: ${limit}`, {
    metadata: { sizeBytes: String(sizeBytes), limitBytes: String(limitBytes) },
  });
}
