import { OttlaError } from "@ottla/errors";
import type { TopicConfigMap } from "@ottla/metadata";
import type { Topic } from "../topics.ts";
import { refuseInternal } from "../topics.ts";
import {
  type ConfigResource,
  checkBrokerResource,
  configsOfGroup,
  keyOfResource,
  ResourceType,
  topicOfResource,
} from "./config-resources.ts";
import { duplicatesOf } from "./duplicates.ts";
import { failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { checkItemCount, firstOfEach, inSlices } from "./request-items.ts";

/** What has settings that can be changed. */
export interface Alterable {
  /** Undefined for a group. */
  readonly topic: Topic | undefined;
  readonly name: string;
  /** What was set on it. */
  readonly configs: TopicConfigMap;
}

/** What becomes of its settings. */
export interface ConfigChange {
  readonly set: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

export interface AlteredResource {
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly resourceType: number;
  readonly resourceName: string;
}

/** Settings are changed within this time or not at all, as far as the client learns. */
const TIMEOUT_MS = 30_000;

/** Changes the settings of each resource by itself; a resource named twice is refused once. */
export async function alterResources<
  R extends ConfigResource & { readonly configs: readonly { name: string }[] },
>(
  services: KafkaServices,
  resources: readonly R[],
  options: {
    readonly validateOnly: boolean;
    readonly api: string;
    /** Whether what is asked of a broker changes nothing. */
    readonly isVoid?: (resource: R) => boolean;
  },
  changeOf: (altered: Alterable, resource: R) => ConfigChange,
): Promise<AlteredResource[]> {
  checkItemCount("resources", resources.length);
  const duplicates = duplicatesOf(resources.map(keyOfResource));
  return inSlices(services.clock, firstOfEach(resources, keyOfResource), async (resource) => {
    try {
      if (duplicates.has(keyOfResource(resource))) {
        const failure = failureOf("INVALID_REQUEST", "Each resource must appear at most once.");
        return refusedResource(resource, failure);
      }
      if (resource.resourceType === ResourceType.BROKER && options.isVoid?.(resource) === true) {
        checkBrokerResource(services, resource.resourceName, knownBrokerIds(services));
        return refusedResource(resource, { errorCode: NO_ERROR, errorMessage: null });
      }
      const altered = await alterable(services, resource);
      const [twice] = duplicatesOf(resource.configs.map(({ name }) => name));
      if (twice !== undefined) throw new OttlaError("INVALID_REQUEST", `configs: ${twice} is given twice`);
      const change = changeOf(altered, resource);
      const isEmpty = change.remove.length === 0 && Object.keys(change.set).length === 0;
      if (!isEmpty) {
        const terms = { timeoutMs: TIMEOUT_MS, validateOnly: options.validateOnly };
        if (altered.topic !== undefined) await services.changes.alterConfig(altered.name, change, terms);
        else await services.changes.alterGroupConfig(altered.name, change, terms);
      }
      return refusedResource(resource, { errorCode: NO_ERROR, errorMessage: null });
    } catch (thrown) {
      return refusedResource(resource, services.failures.of(thrown, options.api));
    }
  });
}

/** Tools take storage nodes, which replica lists show, for brokers. */
function knownBrokerIds({ brokers, view }: KafkaServices): number[] {
  return [brokers.ownId, ...view.nodes("partition-storage").map(({ nodeId }) => nodeId)];
}

async function alterable(
  services: KafkaServices,
  { resourceType, resourceName }: ConfigResource,
): Promise<Alterable> {
  if (resourceType === ResourceType.TOPIC) {
    if (resourceName === "") {
      throw new OttlaError("INVALID_REQUEST", "Default topic resources are not allowed.");
    }
    const topic = await topicOfResource(services, resourceName);
    refuseInternal(topic);
    return { topic, name: topic.name, configs: topic.state.configs };
  }
  if (resourceType === ResourceType.GROUP) {
    return { topic: undefined, name: resourceName, configs: configsOfGroup(services, resourceName) };
  }
  if (resourceType === ResourceType.BROKER) {
    const message =
      "Settings of brokers cannot be changed at run time: set them in the gateway's configuration.";
    throw new OttlaError("INVALID_REQUEST", message);
  }
  throw new OttlaError("INVALID_REQUEST", `Unexpected resource type ${resourceType}.`);
}

export function refusedResource(
  { resourceType, resourceName }: ConfigResource,
  { errorCode, errorMessage }: KafkaFailure | { readonly errorCode: 0; readonly errorMessage: null },
): AlteredResource {
  return { errorCode, errorMessage, resourceType, resourceName };
}
