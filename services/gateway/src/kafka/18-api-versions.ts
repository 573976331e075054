/**
 * ApiVersions (18), versions 0 to 4: which APIs and versions this gateway serves.
 *
 * - A version that we do not know is answered in the form of version 0 with
 *   UNSUPPORTED_VERSION and the list (KIP-511).
 * - From version 3 on the client names its software; it is checked as Kafka does and counted nowhere yet.
 *
 * - The cluster's feature level is a feature in the sense of KIP-584, under a name of our own: tools show
 *   it, and no client takes it for one of Kafka's. Its epoch is the revision at which it was last changed.
 *
 * Deliberately not here: Kafka's own features (metadata.version and others): they say nothing of Ottla.
 */
import { ERRORS } from "@ottla/errors";
import { apiVersions, type FrameWriter } from "@ottla/kafka-protocol";
import { type ClusterView, SUPPORTED_LEVELS } from "@ottla/metadata";
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

const FEATURE = "ottla.feature.level";

function featuresOf({ featureLevel, featureLevelRevision }: ClusterView) {
  const { min, max } = SUPPORTED_LEVELS;
  return {
    supportedFeatures: [{ name: FEATURE, minVersion: min, maxVersion: max }],
    ...(featureLevel !== undefined && {
      finalizedFeaturesEpoch: featureLevelRevision,
      finalizedFeatures: [{ name: FEATURE, maxVersionLevel: featureLevel, minVersionLevel: featureLevel }],
    }),
  };
}

/** The handler; `handlers` gives all that are served, itself among them. */
export function apiVersionsHandler(
  { view }: { readonly view: ClusterView },
  handlers: () => readonly AnyKafkaHandler[],
): AnyKafkaHandler {
  return kafkaHandler({
    api: apiVersions,
    versions: { min: 0, max: 4 },
    async handle(request, { apiVersion }) {
      const isNamed =
        SOFTWARE_PATTERN.test(request.clientSoftwareName) &&
        SOFTWARE_PATTERN.test(request.clientSoftwareVersion);
      if (apiVersion >= 3 && !isNamed) return { errorCode: ERRORS.INVALID_REQUEST.kafka, apiKeys: [] };
      const features = apiVersion >= 3 ? featuresOf(view) : {};
      return { errorCode: 0, apiKeys: rangesOf(handlers()), ...features };
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
