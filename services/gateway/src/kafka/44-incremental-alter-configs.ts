/**
 * IncrementalAlterConfigs (44), versions 0 and 1: changes single settings of a topic.
 *
 * - SET, DELETE (back to the default), and for lists APPEND and SUBTRACT, which start
 *   from the effective value.
 * - All settings of a topic change, or none. A setting named twice, or one without a
 *   value where there must be one, is INVALID_REQUEST.
 * - Settings of brokers may only be taken away, which changes nothing, because none is set: tools do so at
 *   the end of what they set before.
 *
 * Deliberately not here: settings of brokers, which are configured where the gateway runs.
 */
import { OttlaError } from "@ottla/errors";
import { incrementalAlterConfigs, type RequestOf } from "@ottla/kafka-protocol";
import { describeTopicConfig, servedSetting } from "@ottla/metadata";
import type { Topic } from "../topics.ts";
import { alterResources, type ConfigChange, refusedResource } from "./altered-configs.ts";
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
      const responses = await alterResources(services, resources, options, (topic, { configs }) =>
        changeOf(services, topic, configs),
      );
      return { throttleTimeMs: 0, responses };
    },
    failure: ({ resources }, failure) => ({
      throttleTimeMs: 0,
      responses: resources.map((resource) => refusedResource(resource, failure)),
    }),
  });
}

function changeOf(services: KafkaServices, topic: Topic, alterations: readonly Alteration[]): ConfigChange {
  const set: [string, string][] = [];
  const remove: string[] = [];
  for (const { name, configOperation, value } of alterations) {
    if (configOperation === DELETE) {
      // A name that nobody knows is not set: there is nothing to take away.
      if (Object.hasOwn(topic.state.configs, name)) remove.push(name);
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
      configOperation === SET ? value : listAfter(services, topic, { name, configOperation, value }),
    ]);
  }
  return { set: Object.fromEntries(set), remove };
}

function listAfter(
  { topicDefaults }: KafkaServices,
  topic: Topic,
  {
    name,
    configOperation,
    value,
  }: { readonly name: string; readonly configOperation: number; readonly value: string },
): string {
  if (servedSetting(name).type.kind !== "list") {
    const operation = configOperation === APPEND ? "APPEND" : "SUBTRACT";
    throw new OttlaError("INVALID_CONFIG", `Can't ${operation} to key ${name} because its type is not LIST.`);
  }
  const entries = describeTopicConfig(topic.state.configs, topicDefaults);
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
