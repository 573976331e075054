import { create, type DescMessage, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { OttlaError } from "@ottla/errors";

/** Encodes a message, or what a message can be made of. */
export function encode(schema: DescMessage, message: object): Buffer {
  const bytes = toBinary(schema, create(schema, message as Message));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Decodes what a peer sent. Fields of type `bytes` are views of it. Throws INVALID_REQUEST. */
export function decode(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new OttlaError("INVALID_REQUEST", `the peer sent bytes that are no ${schema.typeName}`, {
      cause: error,
      metadata: { message: schema.typeName },
    });
  }
}

export function tooLarge(what: string, sizeBytes: number, limitBytes: number): OttlaError {
  return new OttlaError(
    "THROTTLING_QUOTA_EXCEEDED",
    `${what} of ${sizeBytes} bytes is larger than the limit of ${limitBytes} bytes for one message`,
    { metadata: { sizeBytes: String(sizeBytes), limitBytes: String(limitBytes) } },
  );
}
