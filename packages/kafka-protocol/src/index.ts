export { produce } from "./apis/00-produce.ts";
export { fetch } from "./apis/01-fetch.ts";
export { listOffsets } from "./apis/02-list-offsets.ts";
export { metadata } from "./apis/03-metadata.ts";
export { offsetCommit } from "./apis/08-offset-commit.ts";
export { offsetFetch } from "./apis/09-offset-fetch.ts";
export { findCoordinator } from "./apis/10-find-coordinator.ts";
export { joinGroup } from "./apis/11-join-group.ts";
export { heartbeat } from "./apis/12-heartbeat.ts";
export { leaveGroup } from "./apis/13-leave-group.ts";
export { syncGroup } from "./apis/14-sync-group.ts";
export { describeGroups } from "./apis/15-describe-groups.ts";
export { listGroups } from "./apis/16-list-groups.ts";
export { apiVersions } from "./apis/18-api-versions.ts";
export { createTopics } from "./apis/19-create-topics.ts";
export { deleteTopics } from "./apis/20-delete-topics.ts";
export { deleteRecords } from "./apis/21-delete-records.ts";
export { initProducerId } from "./apis/22-init-producer-id.ts";
export { offsetForLeaderEpoch } from "./apis/23-offset-for-leader-epoch.ts";
export { describeConfigs } from "./apis/32-describe-configs.ts";
export { alterConfigs } from "./apis/33-alter-configs.ts";
export { describeLogDirs } from "./apis/35-describe-log-dirs.ts";
export { createPartitions } from "./apis/37-create-partitions.ts";
export { deleteGroups } from "./apis/42-delete-groups.ts";
export { electLeaders } from "./apis/43-elect-leaders.ts";
export { incrementalAlterConfigs } from "./apis/44-incremental-alter-configs.ts";
export { alterPartitionReassignments } from "./apis/45-alter-partition-reassignments.ts";
export { listPartitionReassignments } from "./apis/46-list-partition-reassignments.ts";
export { offsetDelete } from "./apis/47-offset-delete.ts";
export { describeCluster } from "./apis/60-describe-cluster.ts";
export { describeProducers } from "./apis/61-describe-producers.ts";
export { consumerGroupHeartbeat } from "./apis/68-consumer-group-heartbeat.ts";
export { consumerGroupDescribe } from "./apis/69-consumer-group-describe.ts";
export { listConfigResources } from "./apis/74-list-config-resources.ts";
export { describeTopicPartitions } from "./apis/75-describe-topic-partitions.ts";
export { allApis } from "./apis/all.ts";
export { Api, type RequestOf, type ResponseOf } from "./codec/api.ts";
export { type Decoded, type Encodable, type Fields, type RecordsGiven, ZERO_UUID } from "./codec/field.ts";
export {
  hasFlexibleResponseHeader,
  type RequestHeader,
  readClientId,
  readRequestHeader,
  readResponseHeader,
  skipTags,
  writeRequestHeader,
  writeResponseHeader,
} from "./codec/header.ts";
export { type MessageGivenOf, type MessageOf, MessageSchema } from "./codec/message-schema.ts";
export { FrameReader, malformed } from "./codec/reader.ts";
export { FrameWriter } from "./codec/writer.ts";
export { consumerProtocolAssignment, consumerProtocolSubscription } from "./groups/consumer-protocol.ts";
export {
  consumerGroupCurrentMemberValue,
  consumerGroupKey,
  consumerGroupMemberMetadataValue,
  consumerGroupMetadataValue,
  consumerGroupPartitionMetadataValue,
  consumerGroupRegexValue,
  consumerGroupTargetMemberValue,
  consumerGroupTargetMetadataValue,
  consumerMemberKey,
  consumerRegexKey,
  GroupRecordType,
  groupMetadataKey,
  groupMetadataValue,
  offsetKey,
  offsetValue,
} from "./groups/group-records.ts";
