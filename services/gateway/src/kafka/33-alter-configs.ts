/**
 * AlterConfigs (33), versions 0 to 2: replaces all settings of a topic. Kafka has
 * deprecated it for IncrementalAlterConfigs.
 *
 * - What the request does not name goes back to its default; so does a setting without a value.
 * - All settings of a topic change, or none.
 *
 * Deliberately not here: settings of brokers, which are configured where the gateway runs.
 */
import { alterConfigs } from "@ottla/kafka-protocol";
import { alterResources, refusedResource } from "./altered-configs.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import type { KafkaServices } from "./kafka-services.ts";

export function alterConfigsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: alterConfigs,
    versions: { min: 0, max: 2 },
    async handle({ resources, validateOnly }) {
      const options = { validateOnly, api: alterConfigs.name };
      const responses = await alterResources(services, resources, options, (topic, { configs }) => {
        const set = Object.fromEntries(
          configs.flatMap(({ name, value }) => (value === null ? [] : [[name, value] as const])),
        );
        return { set, remove: Object.keys(topic.state.configs).filter((name) => !Object.hasOwn(set, name)) };
      });
      return { throttleTimeMs: 0, responses };
    },
    failure: ({ resources }, failure) => ({
      throttleTimeMs: 0,
      responses: resources.map((resource) => refusedResource(resource, failure)),
    }),
  });
}
