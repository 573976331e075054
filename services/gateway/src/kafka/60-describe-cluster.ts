/**
 * DescribeCluster (60), versions 0 to 2: the cluster's id and its brokers.
 *
 * - The brokers are virtual, as in Metadata; none is ever fenced (version 2).
 * - Asked for controllers (version 1) it answers MISMATCHED_ENDPOINT_TYPE, as a broker of Kafka does.
 *
 * Deliberately not here: storage nodes and coordinators, which no Kafka client could talk
 * to; `ottla cluster` shows them. Only the tool that moves replicas is told of storage nodes, as in Metadata.
 */
import { type ErrorCode, OttlaError } from "@ottla/errors";
import { describeCluster, type ResponseOf } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";
import { brokersFor } from "./storage-brokers.ts";
import { ALL_CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED } from "./topic-metadata.ts";

type Response = ResponseOf<typeof describeCluster>;

const BROKERS = 1;
const CONTROLLERS = 2;

export function describeClusterHandler(services: KafkaServices): AnyKafkaHandler {
  const { brokers, view } = services;
  return kafkaHandler({
    api: describeCluster,
    versions: { min: 0, max: 2 },
    async handle({ endpointType, includeClusterAuthorizedOperations }, context): Promise<Response> {
      if (endpointType !== BROKERS) throw wrongEndpoint(endpointType);
      return {
        throttleTimeMs: 0,
        errorCode: NO_ERROR,
        endpointType: BROKERS,
        clusterId: view.clusterId ?? "",
        controllerId: brokers.coordinator(context.connection).nodeId,
        brokers: brokersFor(services, context).map(({ nodeId, host, port, rack }) => ({
          brokerId: nodeId,
          host,
          port,
          rack,
          isFenced: false,
        })),
        clusterAuthorizedOperations: includeClusterAuthorizedOperations
          ? ALL_CLUSTER_OPERATIONS
          : OPERATIONS_NOT_ASKED,
      };
    },
    failure: (_, { errorCode, errorMessage }) => ({
      throttleTimeMs: 0,
      errorCode,
      errorMessage,
      clusterId: "",
      brokers: [],
    }),
  });
}

function wrongEndpoint(endpointType: number): OttlaError {
  const code: ErrorCode =
    endpointType === CONTROLLERS ? "MISMATCHED_ENDPOINT_TYPE" : "UNSUPPORTED_ENDPOINT_TYPE";
  return new OttlaError(
    code,
    `The request was sent to a broker, but it asks for endpoints of type ${endpointType}`,
  );
}
