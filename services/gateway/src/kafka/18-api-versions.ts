/**
 * ApiVersions (18), versions 0 to 4: which APIs and versions this gateway serves.
 *
 * - A version that we do not know is answered in the form of version 0 with
 *   UNSUPPORTED_VERSION and the list (KIP-511).
 * - From version 3 on the client names its software; it is checked as Kafka does and counted nowhere yet.
 *
 * Deliberately not here: features, announced or finalized: there are none that a client could act on.
 */
import { ERRORS } from "@ottla/errors";
import { apiVersions, type FrameWriter } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";

export const API_VERSIONS_KEY = 18;
const SOFTWARE_PATTERN = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

interface ApiRange {
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
}

function rangesOf(handlers: readonly AnyKafkaHandler[]): ApiRange[] {
  return handlers
    .map((handler) => ({
      apiKey: handler.api.key,
      minVersion: handler.advertisedMin ?? handler.versions.min,
      maxVersion: handler.versions.max,
    }))
    .toSorted((left, right) => left.apiKey - right.apiKey);
}

/** The handler; `handlers` gives all that are served, itself among them. */
export function apiVersionsHandler(handlers: () => readonly AnyKafkaHandler[]): AnyKafkaHandler {
  return kafkaHandler({
    api: apiVersions,
    versions: { min: 0, max: 4 },
    async handle(request, { apiVersion }) {
      const isNamed =
        SOFTWARE_PATTERN.test(request.clientSoftwareName) &&
        SOFTWARE_PATTERN.test(request.clientSoftwareVersion);
      if (apiVersion >= 3 && !isNamed) return { errorCode: ERRORS.INVALID_REQUEST.kafka, apiKeys: [] };
      return { errorCode: 0, apiKeys: rangesOf(handlers()) };
    },
    failure: (_, { errorCode }) => ({ errorCode, apiKeys: [] }),
  });
}

/** The answer to a version that we do not know, in the form of version 0. */
export function answerUnknownApiVersions(writer: FrameWriter, handlers: readonly AnyKafkaHandler[]): void {
  apiVersions.encodeResponse(writer, 0, {
    errorCode: ERRORS.UNSUPPORTED_VERSION.kafka,
    apiKeys: rangesOf(handlers),
  });
}
