import { produceHandler } from "./00-produce.ts";
import { fetchHandler } from "./01-fetch.ts";
import { listOffsetsHandler } from "./02-list-offsets.ts";
import { metadataHandler } from "./03-metadata.ts";
import { findCoordinatorHandler } from "./10-find-coordinator.ts";
import { apiVersionsHandler } from "./18-api-versions.ts";
import { createTopicsHandler } from "./19-create-topics.ts";
import { deleteTopicsHandler } from "./20-delete-topics.ts";
import { deleteRecordsHandler } from "./21-delete-records.ts";
import { initProducerIdHandler } from "./22-init-producer-id.ts";
import { offsetForLeaderEpochHandler } from "./23-offset-for-leader-epoch.ts";
import { describeConfigsHandler } from "./32-describe-configs.ts";
import { alterConfigsHandler } from "./33-alter-configs.ts";
import { describeLogDirsHandler } from "./35-describe-log-dirs.ts";
import { createPartitionsHandler } from "./37-create-partitions.ts";
import { electLeadersHandler } from "./43-elect-leaders.ts";
import { incrementalAlterConfigsHandler } from "./44-incremental-alter-configs.ts";
import { alterPartitionReassignmentsHandler } from "./45-alter-partition-reassignments.ts";
import { listPartitionReassignmentsHandler } from "./46-list-partition-reassignments.ts";
import { describeClusterHandler } from "./60-describe-cluster.ts";
import { describeProducersHandler } from "./61-describe-producers.ts";
import { describeTopicPartitionsHandler } from "./75-describe-topic-partitions.ts";
import type { AnyKafkaHandler } from "./handler.ts";
import type { KafkaServices } from "./kafka-services.ts";

/** The handlers of all APIs that are served, by number. */
export function kafkaHandlers(services: KafkaServices): readonly AnyKafkaHandler[] {
  const handlers: readonly AnyKafkaHandler[] = [
    produceHandler(services),
    fetchHandler(services),
    listOffsetsHandler(services),
    metadataHandler(services),
    findCoordinatorHandler(services),
    apiVersionsHandler(() => handlers),
    createTopicsHandler(services),
    deleteTopicsHandler(services),
    deleteRecordsHandler(services),
    initProducerIdHandler(services),
    offsetForLeaderEpochHandler(services),
    describeConfigsHandler(services),
    alterConfigsHandler(services),
    describeLogDirsHandler(services),
    createPartitionsHandler(services),
    electLeadersHandler(services),
    incrementalAlterConfigsHandler(services),
    alterPartitionReassignmentsHandler(services),
    listPartitionReassignmentsHandler(services),
    describeClusterHandler(services),
    describeProducersHandler(services),
    describeTopicPartitionsHandler(services),
  ];
  return handlers;
}
