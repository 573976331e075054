import type { Api } from "./api.ts";
import type { FrameReader } from "./reader.ts";
import type { FrameWriter } from "./writer.ts";

/**
 * API key of ApiVersions, whose answer always has the oldest header: the client does not
 * know our versions yet (KIP-511).
 */
const API_VERSIONS_KEY = 18;

export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
}

/** The part of a request's header that every version has; `readClientId` reads on. */
export function readRequestHeader(reader: FrameReader): RequestHeader {
  return { apiKey: reader.int16(), apiVersion: reader.int16(), correlationId: reader.int32() };
}

/** The rest of a request's header: the client id, never compact, and the tags of a flexible version. */
export function readClientId(reader: FrameReader, flexible: boolean): string | null {
  const length = reader.int16();
  const clientId = length < 0 ? null : reader.text(length);
  if (flexible) skipTags(reader);
  return clientId;
}

/** Skips a section of tagged fields, all of them unknown here. */
export function skipTags(reader: FrameReader): void {
  const count = reader.unsignedVarint();
  for (let index = 0; index < count; index++) {
    reader.unsignedVarint();
    reader.take(reader.unsignedVarint());
  }
}

export function writeRequestHeader(
  writer: FrameWriter,
  header: RequestHeader & { readonly clientId: string | null },
  flexible: boolean,
): void {
  writer.int16(header.apiKey);
  writer.int16(header.apiVersion);
  writer.int32(header.correlationId);
  writer.string(header.clientId, false);
  if (flexible) writer.unsignedVarint(0);
}

/** Whether the answer's header has a tag section. */
export function hasFlexibleResponseHeader(api: Api, version: number): boolean {
  return api.key !== API_VERSIONS_KEY && api.isFlexible(version);
}

export function writeResponseHeader(writer: FrameWriter, correlationId: number, flexible: boolean): void {
  writer.int32(correlationId);
  if (flexible) writer.unsignedVarint(0);
}

/** Returns the correlation id. */
export function readResponseHeader(reader: FrameReader, flexible: boolean): number {
  const correlationId = reader.int32();
  if (flexible) skipTags(reader);
  return correlationId;
}
