import { ERRORS, type ErrorCode, NOT_APPENDED, type OttlaError, toOttlaError } from "@ottla/errors";
import type { LimitedLogger } from "@ottla/runtime";
import { isForeignError, publicError } from "../public-error.ts";

/** An error as Kafka's answers carry it. */
export interface KafkaFailure {
  readonly errorCode: number;
  /** Never internals: no path, no stack, no foreign exception's text. */
  readonly errorMessage: string;
}

/** "No error" in the fields of an answer. */
export const NO_ERROR = 0;

export function failureOf(code: ErrorCode, message: string): KafkaFailure {
  return { errorCode: ERRORS[code].kafka, errorMessage: message };
}

/** Trouble between this gateway and a leader. Kafka has none of these: its own brokers are the leaders. */
const NO_LEADER: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "LEADER_NOT_AVAILABLE",
  "UNAVAILABLE",
  "METADATA_UNAVAILABLE",
  "NETWORK_EXCEPTION",
  "THROTTLING_QUOTA_EXCEEDED",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "NOT_CONTROLLER",
  "CANCELLED",
]);

/** Kafka's code for these, 8, ends what Java's clients were about: they get one that makes them come back. */
const NOT_NOW: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["UNAVAILABLE", "METADATA_UNAVAILABLE"]);
const COME_BACK: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ["Metadata", "LEADER_NOT_AVAILABLE"],
  ["FindCoordinator", "COORDINATOR_NOT_AVAILABLE"],
  ["InitProducerId", "COORDINATOR_NOT_AVAILABLE"],
  ["CreateTopics", "NOT_CONTROLLER"],
  ["DeleteTopics", "NOT_CONTROLLER"],
  ["CreatePartitions", "NOT_CONTROLLER"],
  ["ElectLeaders", "NOT_CONTROLLER"],
  ["AlterPartitionReassignments", "NOT_CONTROLLER"],
  ["ListPartitionReassignments", "NOT_CONTROLLER"],
]);

/** Members of groups look for the coordinator again after COORDINATOR_NOT_AVAILABLE; other codes end them. */
const GROUP_APIS: ReadonlySet<string> = new Set([
  "OffsetCommit",
  "OffsetFetch",
  "JoinGroup",
  "Heartbeat",
  "LeaveGroup",
  "SyncGroup",
  "DescribeGroups",
  "ListGroups",
  "DeleteGroups",
  "OffsetDelete",
  "ConsumerGroupHeartbeat",
  "ConsumerGroupDescribe",
]);

/** What consumers understand in an answer to Fetch. Java's stops with an exception on any other code. */
const FETCH_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "OFFSET_OUT_OF_RANGE",
  "CORRUPT_MESSAGE",
  "UNKNOWN_TOPIC_OR_PARTITION",
  "NOT_LEADER_OR_FOLLOWER",
  "REPLICA_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "OFFSET_NOT_AVAILABLE",
  "UNKNOWN_TOPIC_ID",
]);

/**
 * Turns what was thrown into the error that Kafka's clients act on. A fault that is none
 * of ours becomes UNKNOWN_SERVER_ERROR and a line in the log.
 */
export class KafkaFailures {
  readonly #logger: LimitedLogger;
  readonly #onFailure: (api: string, code: ErrorCode) => void;

  constructor(logger: LimitedLogger, onFailure: (api: string, code: ErrorCode) => void = () => undefined) {
    this.#logger = logger;
    this.#onFailure = onFailure;
  }

  of(thrown: unknown, api: string): KafkaFailure {
    this.#report(thrown, api);
    const error = publicError(thrown);
    this.#onFailure(api, error.code);
    const isTrouble = NO_LEADER.has(error.code) || error.code === "REQUEST_TIMED_OUT";
    if (GROUP_APIS.has(api) && isTrouble) return failureOf("COORDINATOR_NOT_AVAILABLE", error.message);
    if (NOT_NOW.has(error.code)) return failureOf(COME_BACK.get(api) ?? "REQUEST_TIMED_OUT", error.message);
    return { errorCode: error.kafkaCode, errorMessage: error.message };
  }

  /**
   * For Produce: an append that surely did not happen is refused with
   * NOT_LEADER_OR_FOLLOWER, which makes every client look again and send again; one whose
   * outcome is unknown with REQUEST_TIMED_OUT, after which clients reckon with a duplicate.
   */
  ofAppend(thrown: unknown, api: string): KafkaFailure {
    const error = toOttlaError(thrown);
    if (!NO_LEADER.has(error.code)) return this.of(thrown, api);
    this.#onFailure(api, error.code);
    const isSafe = error.code === "LEADER_NOT_AVAILABLE" || error.metadata[NOT_APPENDED] === "true";
    return failureOf(isSafe ? "NOT_LEADER_OR_FOLLOWER" : "REQUEST_TIMED_OUT", publicError(error).message);
  }

  /**
   * For reads of a partition: what consumers do not know becomes NOT_LEADER_OR_FOLLOWER,
   * after which they look again.
   */
  ofRead(thrown: unknown, api: string): KafkaFailure {
    const error = toOttlaError(thrown);
    if (NO_LEADER.has(error.code) || error.code === "REQUEST_TIMED_OUT") {
      this.#onFailure(api, error.code);
      return failureOf("NOT_LEADER_OR_FOLLOWER", publicError(error).message);
    }
    if (FETCH_CODES.has(error.code)) return this.of(error, api);
    this.#report(thrown, api);
    this.#onFailure(api, error.code);
    return failureOf("UNKNOWN_SERVER_ERROR", publicError(error).message);
  }

  #report(thrown: unknown, api: string): void {
    if (!isForeignError(thrown) && toOttlaError(thrown).code !== "UNKNOWN_SERVER_ERROR") return;
    this.#logger.error(
      `kafka-fault-${api}`,
      { err: thrown, api },
      "a Kafka request failed by a fault of the gateway",
    );
  }
}

/** Thrown by a handler whose answer is to close the connection. */
export class CloseConnection extends Error {
  readonly reason: OttlaError;

  constructor(reason: OttlaError) {
    super(reason.message);
    this.reason = reason;
  }
}
