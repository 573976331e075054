/**
 * The closed list of errors. Each row says, once for the whole product, which gRPC status and which Kafka
 * error code a caller sees and whether trying the same call again can help.
 *
 * Names and numbers follow Kafka's error table where Kafka has the error; `kafka: -1` (UNKNOWN_SERVER_ERROR)
 * marks the few that only Ottla has and that no Kafka client meets.
 */

/** gRPC status codes, as numbered by the gRPC specification. */
export const GrpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcStatusName = keyof typeof GrpcStatus;
export type GrpcStatusCode = (typeof GrpcStatus)[GrpcStatusName];

export interface ErrorFacts {
  /** Kafka's error code on the wire. */
  readonly kafka: number;
  readonly grpc: GrpcStatusName;
  /** Whether the same call may succeed later without a change by the caller. */
  readonly retriable: boolean;
  readonly meaning: string;
}

function row(kafka: number, grpc: GrpcStatusName, retriable: boolean, meaning: string): ErrorFacts {
  return { kafka, grpc, retriable, meaning };
}

export const ERRORS = {
  UNKNOWN_SERVER_ERROR: row(-1, "INTERNAL", false, "A fault of the server that no other code describes"),
  OFFSET_OUT_OF_RANGE: row(
    1,
    "OUT_OF_RANGE",
    false,
    "The offset is below the log start or above the log end",
  ),
  CORRUPT_MESSAGE: row(2, "DATA_LOSS", true, "A record batch fails its CRC or its structure is broken"),
  UNKNOWN_TOPIC_OR_PARTITION: row(3, "NOT_FOUND", true, "The topic or the partition does not exist"),
  LEADER_NOT_AVAILABLE: row(5, "UNAVAILABLE", true, "The partition has no leader right now"),
  NOT_LEADER_OR_FOLLOWER: row(6, "UNAVAILABLE", true, "The node asked is not the partition's leader"),
  REQUEST_TIMED_OUT: row(7, "DEADLINE_EXCEEDED", true, "The request did not finish within its timeout"),
  REPLICA_NOT_AVAILABLE: row(9, "UNAVAILABLE", true, "The replica asked for is not there"),
  MESSAGE_TOO_LARGE: row(10, "INVALID_ARGUMENT", false, "A record batch is larger than max.message.bytes"),
  OFFSET_METADATA_TOO_LARGE: row(
    12,
    "INVALID_ARGUMENT",
    false,
    "The metadata of a committed offset is too long",
  ),
  NETWORK_EXCEPTION: row(13, "UNAVAILABLE", true, "The connection broke before an answer came"),
  COORDINATOR_LOAD_IN_PROGRESS: row(14, "UNAVAILABLE", true, "The group's owner is still loading its log"),
  COORDINATOR_NOT_AVAILABLE: row(15, "UNAVAILABLE", true, "No node owns the group right now"),
  NOT_COORDINATOR: row(16, "UNAVAILABLE", true, "The node asked does not own the group"),
  INVALID_TOPIC_EXCEPTION: row(17, "INVALID_ARGUMENT", false, "The topic's name is not allowed"),
  RECORD_LIST_TOO_LARGE: row(18, "INVALID_ARGUMENT", false, "The batch is larger than a segment may be"),
  NOT_ENOUGH_REPLICAS: row(19, "UNAVAILABLE", true, "Fewer in-sync replicas than min.insync.replicas"),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: row(
    20,
    "UNAVAILABLE",
    true,
    "The batch was written, but the ISR shrank below min.insync.replicas before it was acknowledged",
  ),
  INVALID_REQUIRED_ACKS: row(21, "INVALID_ARGUMENT", false, "acks is none of 0, 1, all"),
  ILLEGAL_GENERATION: row(
    22,
    "FAILED_PRECONDITION",
    false,
    "The member is of another generation of its group",
  ),
  INCONSISTENT_GROUP_PROTOCOL: row(
    23,
    "FAILED_PRECONDITION",
    false,
    "The member's protocol type or assignors do not match those of the group",
  ),
  INVALID_GROUP_ID: row(24, "INVALID_ARGUMENT", false, "The group's id is not allowed"),
  UNKNOWN_MEMBER_ID: row(25, "FAILED_PRECONDITION", false, "The group does not know the member (any more)"),
  INVALID_SESSION_TIMEOUT: row(26, "INVALID_ARGUMENT", false, "The session timeout is out of bounds"),
  REBALANCE_IN_PROGRESS: row(27, "ABORTED", false, "The group rebalances: the member is to join again"),
  INVALID_COMMIT_OFFSET_SIZE: row(
    28,
    "INVALID_ARGUMENT",
    false,
    "The offset commit is too large to be stored",
  ),
  TOPIC_AUTHORIZATION_FAILED: row(
    29,
    "PERMISSION_DENIED",
    false,
    "The principal may not do this to the topic",
  ),
  CLUSTER_AUTHORIZATION_FAILED: row(
    31,
    "PERMISSION_DENIED",
    false,
    "The principal may not do this to the cluster",
  ),
  INVALID_TIMESTAMP: row(32, "INVALID_ARGUMENT", false, "A record's timestamp is outside the topic's bounds"),
  UNSUPPORTED_VERSION: row(35, "UNIMPLEMENTED", false, "The version of the request is not served"),
  TOPIC_ALREADY_EXISTS: row(36, "ALREADY_EXISTS", false, "A topic of that name exists"),
  INVALID_PARTITIONS: row(37, "INVALID_ARGUMENT", false, "The partition count is not allowed"),
  INVALID_REPLICATION_FACTOR: row(38, "INVALID_ARGUMENT", false, "The replication factor cannot be met"),
  INVALID_REPLICA_ASSIGNMENT: row(39, "INVALID_ARGUMENT", false, "The replica assignment is not allowed"),
  INVALID_CONFIG: row(40, "INVALID_ARGUMENT", false, "A setting is unknown, not served or out of bounds"),
  NOT_CONTROLLER: row(41, "UNAVAILABLE", true, "The coordinator asked is not the active one"),
  INVALID_REQUEST: row(42, "INVALID_ARGUMENT", false, "A field of the request is missing or out of bounds"),
  POLICY_VIOLATION: row(44, "FAILED_PRECONDITION", false, "The request breaks a policy of the cluster"),
  OUT_OF_ORDER_SEQUENCE_NUMBER: row(45, "FAILED_PRECONDITION", false, "The producer's sequence has a gap"),
  DUPLICATE_SEQUENCE_NUMBER: row(46, "ALREADY_EXISTS", false, "The batch was appended long ago"),
  INVALID_PRODUCER_EPOCH: row(47, "FAILED_PRECONDITION", false, "A newer instance of the producer exists"),
  INVALID_TXN_STATE: row(
    48,
    "FAILED_PRECONDITION",
    false,
    "The transaction is not in a state that allows this",
  ),
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: row(
    53,
    "PERMISSION_DENIED",
    false,
    "The transactional id may not be used: transactions are not served",
  ),
  KAFKA_STORAGE_ERROR: row(56, "UNAVAILABLE", true, "The storage node's disk failed or is full"),
  REASSIGNMENT_IN_PROGRESS: row(60, "FAILED_PRECONDITION", false, "The partition's replicas are being moved"),
  NON_EMPTY_GROUP: row(68, "FAILED_PRECONDITION", false, "The group has members still"),
  GROUP_ID_NOT_FOUND: row(69, "NOT_FOUND", false, "There is no group of that id"),
  UNKNOWN_PRODUCER_ID: row(59, "FAILED_PRECONDITION", false, "The producer id is not known to the partition"),
  FETCH_SESSION_ID_NOT_FOUND: row(
    70,
    "FAILED_PRECONDITION",
    true,
    "The fetch session is not known (any more)",
  ),
  INVALID_FETCH_SESSION_EPOCH: row(
    71,
    "FAILED_PRECONDITION",
    true,
    "The fetch session's epoch is not the expected one",
  ),
  FENCED_LEADER_EPOCH: row(74, "ABORTED", true, "The request carries an older leader epoch"),
  UNKNOWN_LEADER_EPOCH: row(
    75,
    "UNAVAILABLE",
    true,
    "The request carries a newer leader epoch than the node knows",
  ),
  UNSUPPORTED_COMPRESSION_TYPE: row(76, "INVALID_ARGUMENT", false, "The compression codec is not served"),
  STALE_BROKER_EPOCH: row(77, "ABORTED", false, "The node has registered again since"),
  OFFSET_NOT_AVAILABLE: row(78, "UNAVAILABLE", true, "A new leader does not know its high watermark yet"),
  MEMBER_ID_REQUIRED: row(79, "FAILED_PRECONDITION", false, "The member is to join again with the id it got"),
  PREFERRED_LEADER_NOT_AVAILABLE: row(
    80,
    "UNAVAILABLE",
    true,
    "The preferred leader is not alive or not in sync",
  ),
  GROUP_MAX_SIZE_REACHED: row(
    81,
    "RESOURCE_EXHAUSTED",
    false,
    "The group has as many members as it may have",
  ),
  FENCED_INSTANCE_ID: row(
    82,
    "FAILED_PRECONDITION",
    false,
    "Another member has taken over the static instance id",
  ),
  ELIGIBLE_LEADERS_NOT_AVAILABLE: row(83, "UNAVAILABLE", true, "No replica that may lead is alive"),
  ELECTION_NOT_NEEDED: row(84, "FAILED_PRECONDITION", true, "The partition has the leader it should have"),
  NO_REASSIGNMENT_IN_PROGRESS: row(
    85,
    "FAILED_PRECONDITION",
    false,
    "No replicas of the partition are moving",
  ),
  GROUP_SUBSCRIBED_TO_TOPIC: row(86, "FAILED_PRECONDITION", false, "The group is subscribed to the topic"),
  INVALID_RECORD: row(87, "INVALID_ARGUMENT", false, "A record is not allowed in this topic or is malformed"),
  UNSTABLE_OFFSET_COMMIT: row(88, "UNAVAILABLE", true, "An offset commit is still in flight"),
  THROTTLING_QUOTA_EXCEEDED: row(
    89,
    "RESOURCE_EXHAUSTED",
    true,
    "A quota or a bounded queue is full: slow down",
  ),
  PRODUCER_FENCED: row(90, "FAILED_PRECONDITION", false, "A newer producer has taken over"),
  FEATURE_UPDATE_FAILED: row(
    96,
    "FAILED_PRECONDITION",
    false,
    "The cluster's feature level cannot become the one asked for",
  ),
  UNKNOWN_TOPIC_ID: row(100, "NOT_FOUND", true, "No topic has that id"),
  FETCH_SESSION_TOPIC_ID_ERROR: row(
    106,
    "FAILED_PRECONDITION",
    true,
    "A fetch session uses topic names and ids by turns",
  ),
  FENCED_MEMBER_EPOCH: row(
    110,
    "FAILED_PRECONDITION",
    false,
    "The member's epoch is over: it is to join anew",
  ),
  UNRELEASED_INSTANCE_ID: row(111, "FAILED_PRECONDITION", false, "Another member still uses the instance id"),
  UNSUPPORTED_ASSIGNOR: row(112, "INVALID_ARGUMENT", false, "The assignor is not known to the server"),
  STALE_MEMBER_EPOCH: row(113, "FAILED_PRECONDITION", false, "The member's epoch is not the present one"),
  INVALID_REGULAR_EXPRESSION: row(128, "INVALID_ARGUMENT", false, "The regular expression cannot be used"),
  MISMATCHED_ENDPOINT_TYPE: row(114, "INVALID_ARGUMENT", false, "The request was meant for another endpoint"),
  UNSUPPORTED_ENDPOINT_TYPE: row(115, "INVALID_ARGUMENT", false, "The type of the endpoint is not known"),
  INELIGIBLE_REPLICA: row(107, "FAILED_PRECONDITION", false, "The replica may not join the ISR"),
  UNAUTHENTICATED: row(58, "UNAUTHENTICATED", false, "The caller did not prove who it is"),
  CANCELLED: row(-1, "CANCELLED", false, "The caller gave up on the call"),
  UNAVAILABLE: row(8, "UNAVAILABLE", true, "The server cannot be reached or is shutting down"),
  UNIMPLEMENTED: row(35, "UNIMPLEMENTED", false, "The call is not served by this version"),
  METADATA_UNAVAILABLE: row(8, "UNAVAILABLE", true, "The metadata store does not answer"),
  METADATA_CONFLICT: row(-1, "ABORTED", true, "The metadata changed while a change of it was made"),
  END_OFFSET_MISMATCH: row(-1, "FAILED_PRECONDITION", false, "The log does not end at expected_end_offset"),
  DATA_DIRECTORY_LOCKED: row(-1, "FAILED_PRECONDITION", false, "Another process holds the data directory"),
  INVALID_DATA_DIRECTORY: row(
    -1,
    "FAILED_PRECONDITION",
    false,
    "The data directory belongs elsewhere or is unreadable",
  ),
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERRORS, value);
}
