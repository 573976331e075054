/**
 * DescribeConfigs (32), versions 1 to 4: settings of topics, brokers and groups, with their sources.
 *
 * - Topics: all settings that are served. Brokers: the virtual broker's, under Kafka's names,
 *   read-only; an empty name asks for what was changed on all brokers at run time, which is nothing.
 * - Groups: the settings of their own that they may have, whether the group exists or not.
 * - `configuration_keys` null or empty asks for all settings; names that do not exist are
 *   left out, as in Kafka.
 * - A resource named twice is answered once. More than 10,000 resources are INVALID_REQUEST; so is each
 *   that would make the answer larger than 64 MiB.
 * - Synonyms on request, types and documentation from version 3 on. Nothing is sensitive.
 *
 * Deliberately not here: loggers of brokers and client metrics: INVALID_REQUEST.
 */
import { OttlaError } from "@ottla/errors";
import { describeConfigs, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { describedBrokerConfigs } from "./broker-configs.ts";
import { type DescribedConfig, describedGroupConfigs, describedTopicConfigs } from "./config-entries.ts";
import {
  checkBrokerResource,
  configsOfGroup,
  keyOfResource,
  ResourceType,
  topicOfResource,
} from "./config-resources.ts";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { checkItemCount, firstOfEach, inSlices } from "./request-items.ts";

type Request = RequestOf<typeof describeConfigs>;
type Resource = Request["resources"][number];
type Result = ResponseOf<typeof describeConfigs>["results"][number];

/** The texts of an answer take about so much at most. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export function describeConfigsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: describeConfigs,
    versions: { min: 1, max: 4 },
    async handle(request, context) {
      checkItemCount("resources", request.resources.length);
      const resources = firstOfEach(request.resources, keyOfResource);
      let answerBytes = 0;
      const results = await inSlices(services.clock, resources, async (resource): Promise<Result> => {
        try {
          if (answerBytes > MAX_ANSWER_BYTES) throw answerTooLarge();
          const result = resultOf(resource, await describe(services, resource, context), request);
          answerBytes += sizeOf(result);
          return result;
        } catch (thrown) {
          return refused(resource, services.failures.of(thrown, describeConfigs.name));
        }
      });
      return { throttleTimeMs: 0, results };
    },
    failure: ({ resources }, failure) => ({
      throttleTimeMs: 0,
      results: firstOfEach(resources, keyOfResource).map((resource) => refused(resource, failure)),
    }),
  });
}

async function describe(
  services: KafkaServices,
  { resourceType, resourceName }: Resource,
  { connection }: KafkaRequestContext,
): Promise<{ readonly configs: readonly DescribedConfig[]; readonly readOnly: boolean }> {
  if (resourceType === ResourceType.TOPIC) {
    const topic = await topicOfResource(services, resourceName);
    const { configs, replicationFactor } = topic.state;
    const described = describedTopicConfigs(configs, services.topicDefaults, replicationFactor);
    return { configs: described, readOnly: false };
  }
  if (resourceType === ResourceType.GROUP) {
    const configs = configsOfGroup(services, resourceName);
    return { configs: describedGroupConfigs(configs, services.groupDefaults), readOnly: false };
  }
  if (resourceType === ResourceType.BROKER) {
    const all = services.brokers.all(connection);
    checkBrokerResource(
      services,
      resourceName,
      all.map(({ nodeId }) => nodeId),
    );
    const broker = all.find(({ nodeId }) => nodeId === Number(resourceName));
    const isNamed = resourceName !== "" && broker !== undefined;
    return { configs: isNamed ? describedBrokerConfigs(services, broker) : [], readOnly: true };
  }
  throw new OttlaError("INVALID_REQUEST", `Unsupported resource type: ${resourceType}`);
}

function resultOf(
  { resourceType, resourceName, configurationKeys }: Resource,
  described: { readonly configs: readonly DescribedConfig[]; readonly readOnly: boolean },
  { includeSynonyms, includeDocumentation }: Request,
): Result {
  const isAll = configurationKeys === null || configurationKeys.length === 0;
  const wanted = isAll ? undefined : new Set(configurationKeys);
  return {
    errorCode: NO_ERROR,
    errorMessage: null,
    resourceType,
    resourceName,
    configs: described.configs
      .filter(({ name }) => wanted?.has(name) ?? true)
      .map(({ name, value, source, type, documentation, synonyms }) => ({
        name,
        value,
        readOnly: described.readOnly,
        configSource: source,
        isSensitive: false,
        synonyms: includeSynonyms ? synonyms : [],
        configType: type,
        documentation: includeDocumentation ? documentation : null,
      })),
  };
}

function answerTooLarge(): OttlaError {
  const message = `resources: the answer exceeds the limit ${MAX_ANSWER_BYTES} bytes: describe fewer at once`;
  return new OttlaError("INVALID_REQUEST", message);
}

function sizeOf({ configs }: Result): number {
  let sizeBytes = 0;
  for (const { name, value, documentation, synonyms } of configs) {
    sizeBytes += name.length + (value?.length ?? 0) + (documentation?.length ?? 0);
    for (const synonym of synonyms ?? []) sizeBytes += synonym.name.length + (synonym.value?.length ?? 0);
  }
  return sizeBytes;
}

function refused({ resourceType, resourceName }: Resource, failure: KafkaFailure): Result {
  return { ...failure, resourceType, resourceName, configs: [] };
}
