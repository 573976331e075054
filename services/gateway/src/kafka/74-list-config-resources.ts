/**
 * ListConfigResources (74), versions 0 and 1: what settings belong to (KIP-1142).
 *
 * - Topics, virtual brokers, and the groups that have settings of their own, whether they exist or not.
 * - An empty list of types asks for all of them. A type that Kafka does not list here is UNSUPPORTED_VERSION.
 *
 * Deliberately not here: client metrics and loggers of brokers, of which there are none; version 0 asks for
 * client metrics alone.
 */
import { OttlaError } from "@ottla/errors";
import { listConfigResources, type ResponseOf } from "@ottla/kafka-protocol";
import { ResourceType } from "./config-resources.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Resource = ResponseOf<typeof listConfigResources>["configResources"][number];

const BROKER_LOGGER = 8;
const CLIENT_METRICS = 16;
const LISTED_TYPES: readonly number[] = [...Object.values(ResourceType), BROKER_LOGGER, CLIENT_METRICS];

export function listConfigResourcesHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: listConfigResources,
    versions: { min: 0, max: 1 },
    async handle({ resourceTypes }, context) {
      const unknown = resourceTypes.find((type) => !LISTED_TYPES.includes(type));
      if (unknown !== undefined)
        throw new OttlaError("UNSUPPORTED_VERSION", `resources of type ${unknown} are not listed`);
      const all = context.apiVersion === 0 ? [CLIENT_METRICS] : LISTED_TYPES;
      const wanted = resourceTypes.length === 0 ? all : [...new Set(resourceTypes)];
      if (wanted.includes(ResourceType.TOPIC)) await services.topics.refresh();
      const configResources = wanted.flatMap((type) => resourcesOf(services, type, context));
      return { throttleTimeMs: 0, errorCode: NO_ERROR, configResources };
    },
    failure: (_, { errorCode }) => ({ throttleTimeMs: 0, errorCode, configResources: [] }),
  });
}

function resourcesOf(
  services: KafkaServices,
  resourceType: number,
  { connection }: KafkaRequestContext,
): readonly Resource[] {
  return namesOf().map((resourceName) => ({ resourceName, resourceType }));

  function namesOf(): readonly string[] {
    const { brokers, view } = services;
    if (resourceType === ResourceType.TOPIC) return view.topicNames();
    if (resourceType === ResourceType.GROUP) return groupsWithConfigs(services);
    if (resourceType === ResourceType.BROKER)
      return brokers.all(connection).map(({ nodeId }) => String(nodeId));
    return [];
  }
}

function groupsWithConfigs({ view }: KafkaServices): readonly string[] {
  const groups = [...view.groupConfigs].filter(([, { configs }]) => Object.keys(configs).length > 0);
  return groups.map(([groupId]) => groupId).toSorted();
}
