import type { KafkaRequestContext } from "./handler.ts";
import type { KafkaServices } from "./kafka-services.ts";
import type { VirtualBroker } from "./virtual-brokers.ts";

/** The name by which Kafka's `kafka-reassign-partitions` introduces itself, unless it is told another. */
const REASSIGNING_CLIENT_ID = "reassign-partitions-tool";

/**
 * The brokers that the client is told of. Storage nodes are none of them, except for the one tool that names
 * replicas: it refuses ids that it does not find among the brokers, and clears its throttles on each.
 * Behind a storage node's id is the gateway itself.
 */
export function brokersFor(
  { brokers, view }: Pick<KafkaServices, "brokers" | "view">,
  { connection, clientId }: KafkaRequestContext,
): readonly VirtualBroker[] {
  const virtual = brokers.all(connection);
  if (clientId !== REASSIGNING_CLIENT_ID) return virtual;
  const { host, port } = brokers.coordinator(connection);
  const storage = view
    .nodes("partition-storage")
    .map(({ nodeId, zone }) => ({ nodeId, host, port, rack: zone === "" ? null : zone }));
  return [...storage, ...virtual];
}
