/**
 * IncrementalAlterConfigs (44), versions 0 and 1: changes single settings of a topic or group.
 *
 * - SET, DELETE (back to the default), and for lists APPEND and SUBTRACT, which start
 *   from the effective value.
 * - All settings of a topic or group change, or none. A setting named twice, or one without a
 *   value where there must be one, is INVALID_REQUEST.
 * - Settings of brokers may only be taken away, which changes nothing, because none is set: tools do so at
 *   the end of what they set before.
 * - Groups need not exist, and keep their settings when they are deleted, as in Kafka. At most 10,000
 *   groups have settings of their own.
 *
 * Deliberately not here: settings of brokers, which are configured where the gateway runs.
 */
import { OttlaError } from "@ottla/errors";
import { incrementalAlterConfigs, type RequestOf } from "@ottla/kafka-protocol";
import { describeTopicConfig, servedSetting } from "@ottla/metadata";
import { type Alterable, alterResources, type ConfigChange, refusedResource } from "./altered-configs.ts";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Resource = RequestOf<typeof incrementalAlterConfigs>["resources"][number];
type Alteration = Resource["configs"][number];

const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;

export function incrementalAlterConfigsHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: incrementalAlterConfigs,
    versions: { min: 0, max: 1 },
    async handle({ resources, validateOnly }) {
      const isVoid = ({ configs }: Resource): boolean =>
        configs.every(({ configOperation }) => configOperation === DELETE);
      const options = { validateOnly, api: incrementalAlterConfigs.name, isVoid };
      const responses = await alterResources(services, resources, options, (altered, { configs }) =>
        changeOf(services, altered, configs),
      );
      return { throttleTimeMs: 0, responses };
    },
    failure: ({ resources }, failure) => ({
      throttleTimeMs: 0,
      responses: resources.map((resource) => refusedResource(resource, failure)),
    }),
  });
}

function changeOf(
  services: KafkaServices,
  altered: Alterable,
  alterations: readonly Alteration[],
): ConfigChange {
  const set: [string, string][] = [];
  const remove: string[] = [];
  for (const { name, configOperation, value } of alterations) {
    if (configOperation === DELETE) {
      // A name that nobody knows is not set: there is nothing to take away.
      if (Object.hasOwn(altered.configs, name)) remove.push(name);
      continue;
    }
    if (configOperation < SET || configOperation > SUBTRACT) {
      throw new OttlaError(
        "INVALID_REQUEST",
        `Unknown operation type ${configOperation} of ${name.slice(0, 100)}`,
      );
    }
    if (value === null) {
      throw new OttlaError("INVALID_REQUEST", `Null value not supported for : ${name.slice(0, 100)}`);
    }
    set.push([
      name,
      configOperation === SET ? value : listAfter(services, altered, { name, configOperation, value }),
    ]);
  }
  return { set: Object.fromEntries(set), remove };
}

function listAfter(
  { topicDefaults }: KafkaServices,
  { topic, configs }: Alterable,
  {
    name,
    configOperation,
    value,
  }: { readonly name: string; readonly configOperation: number; readonly value: string },
): string {
  // No setting of groups is a list.
  if (topic === undefined || servedSetting(name).type.kind !== "list") {
    const operation = configOperation === APPEND ? "APPEND" : "SUBTRACT";
    throw new OttlaError("INVALID_CONFIG", `Can't ${operation} to key ${name} because its type is not LIST.`);
  }
  const entries = describeTopicConfig(configs, topicDefaults);
  const present = wordsOf(entries.find((entry) => entry.name === name)?.value ?? "");
  const words = wordsOf(value);
  if (configOperation === SUBTRACT) return present.filter((word) => !words.includes(word)).join(",");
  return [...present, ...words.filter((word) => !present.includes(word))].join(",");
}

function wordsOf(list: string): string[] {
  return list
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}
