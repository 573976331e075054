/**
 * AlterConfigs (33), versions 0 to 2: replaces all settings of a topic or group. Kafka has
 * deprecated it for IncrementalAlterConfigs.
 *
 * - What the request does not name goes back to its default; a setting without a value is INVALID_REQUEST.
 * - All settings of a topic or group change, or none.
 *
 * Deliberately not here: settings of brokers, which are configured where the gateway runs.
 */
import { OttlaError } from "@ottla/errors";
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
      const responses = await alterResources(services, resources, options, (altered, { configs }) => {
        const set = Object.fromEntries(
          configs.map(({ name, value }) => {
            if (value !== null) return [name, value] as const;
            const message = `Null value not supported for : ${name.slice(0, 100)}`;
            throw new OttlaError("INVALID_REQUEST", message);
          }),
        );
        return { set, remove: Object.keys(altered.configs).filter((name) => !Object.hasOwn(set, name)) };
      });
      return { throttleTimeMs: 0, responses };
    },
    failure: ({ resources }, failure) => ({
      throttleTimeMs: 0,
      responses: resources.map((resource) => refusedResource(resource, failure)),
    }),
  });
}
