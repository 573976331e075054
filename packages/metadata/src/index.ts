export { type AwaitRecoveryOptions, awaitRecovery } from "./await-recovery.ts";
export { type ClusterIdOptions, ensureClusterId } from "./cluster-id.ts";
export {
  type ClusterAwaitingNode,
  type ClusterChange,
  type ClusterController,
  type ClusterGroupOwner,
  type ClusterNode,
  type ClusterPartition,
  type ClusterStorageNode,
  type ClusterTopic,
  type PartitionRef,
} from "./cluster-state.ts";
export { type ClusterListener, ClusterView, type ClusterViewOptions } from "./cluster-view.ts";
export { defaultReplicationFactor } from "./default-replication.ts";
export { EMBEDDED_FORMAT } from "./embedded-database.ts";
export { EmbeddedStore, type EmbeddedStoreOptions } from "./embedded-store.ts";
export {
  allowsFeature,
  FEATURE_LEVELS,
  type Feature,
  type FeatureLevel,
  formatLevels,
  includesLevel,
  type LevelRange,
  levelProblem,
  levelRangeOf,
  requireFeature,
  requireSupportedLevel,
  SUPPORTED_LEVELS,
} from "./feature-levels.ts";
export {
  type FencedResult,
  type FencedWrite,
  FencedWriter,
  type FencedWriterOptions,
  MAX_FENCED_OPERATIONS,
} from "./fenced-writer.ts";
export {
  checkGroupConfig,
  GROUP_SETTINGS,
  type GroupConfig,
  type GroupDefaults,
  groupConfig,
} from "./group-config.ts";
export type { OnHeld } from "./held-node-id.ts";
export { type KeepRegisteredOptions, type KeptRegistration, keepRegistered } from "./keep-registered.ts";
export { isNodeRole, MetadataKeys, NODE_ROLES, type NodeRole, type ParsedKey } from "./keys.ts";
export type {
  Comparison,
  KeyValue,
  Lease,
  LeaseOptions,
  MetadataStore,
  Operation,
  RangeOptions,
  RangeResult,
  ReadOptions,
  Revision,
  Transaction,
  TransactionResult,
  Watch,
  WatchEvent,
  WatchHandler,
} from "./metadata-store.ts";
export { ModelServer } from "./model-server.ts";
export { type ModelFaults, type ModelLink, ModelStore, type ModelStoreOptions } from "./model-store.ts";
export {
  campaign,
  type Election,
  type HoldOptions,
  type RegisteredNode,
  registerNode,
} from "./registration.ts";
export { ensureSecretProof, type SecretProofOptions } from "./secret-proof.ts";
export type { FoundStore, SeenStore, StoreMemory } from "./store-history.ts";
export {
  checkTopicConfig,
  describeTopicConfig,
  parseTopicConfig,
  servedSetting,
  type TopicConfig,
  type TopicConfigEntry,
  type TopicConfigMap,
  type TopicConfigSource,
  topicSettingBoolean,
  topicSettingNumber,
} from "./topic-config.ts";
export { TOPIC_SETTINGS, type TopicSetting, type TopicSettingType } from "./topic-config-table.ts";
export {
  GROUPS_TOPIC,
  isInternalTopicName,
  MAX_TOPIC_NAME_LENGTH,
  topicNameCollisionKey,
  validateTopicName,
} from "./topic-name.ts";
export { MAX_TRANSACTION_BYTES, MAX_TRANSACTION_OPERATIONS } from "./transaction-limits.ts";
export type { ValueCodec } from "./value-parser.ts";
export {
  type AwaitingState,
  awaitingStateCodec,
  type BalancingState,
  balancingStateCodec,
  type ClusterIdState,
  type ControllerState,
  clusterIdStateCodec,
  controllerStateCodec,
  type DrainState,
  type FeatureLevelState,
  featureLevelStateCodec,
  type GroupOwnerState,
  groupConfigStateCodec,
  groupOwnerStateCodec,
  type NodeRegistration,
  nodeRegistrationCodec,
  OWNER_LOADINGS,
  type PartitionState,
  type ProducerIdState,
  partitionStateCodec,
  producerIdStateCodec,
  type RecoveryState,
  recoveryStateCodec,
  type StorageNodeState,
  storageNodeStateCodec,
  type TermEntry,
  type TopicNameState,
  type TopicPhase,
  type TopicState,
  termsStateCodec,
  topicNameStateCodec,
  topicStateCodec,
} from "./values.ts";
