/**
 * FindCoordinator (10), versions 0 to 6: who coordinates a group.
 *
 * - Any gateway does, so the answer is the virtual broker that the client talks to
 *   already. From version 4 on many keys are asked for at once.
 * - Transactional ids (type 1) are refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
 *   which every client takes as final.
 *
 * Deliberately not here: coordinators of share groups (type 2, version 6), which do not
 * exist yet: INVALID_REQUEST.
 */
import { findCoordinator, type RequestOf, type ResponseOf } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, type KafkaRequestContext, kafkaHandler } from "./handler.ts";
import { failureOf, type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Request = RequestOf<typeof findCoordinator>;
type Response = ResponseOf<typeof findCoordinator>;

const GROUP = 0;
const TRANSACTION = 1;
const FIRST_BATCHED_VERSION = 4;

export function findCoordinatorHandler(services: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: findCoordinator,
    versions: { min: 0, max: 6 },
    handle: async (request, context) => answer(services, request, context, refusalOf(request.keyType)),
    failure: (request, failure, context) => answer(services, request, context, failure),
  });
}

function refusalOf(keyType: number): KafkaFailure | undefined {
  if (keyType === GROUP) return undefined;
  if (keyType === TRANSACTION) {
    return failureOf(
      "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
      "transactions are not served: use no transactional id",
    );
  }
  return failureOf("INVALID_REQUEST", `key_type: ${keyType} is not served, only ${GROUP} (groups) is`);
}

function answer(
  { brokers }: KafkaServices,
  request: Request,
  { apiVersion, connection }: KafkaRequestContext,
  failure: KafkaFailure | undefined,
): Response {
  const { nodeId, host, port } =
    failure === undefined ? brokers.coordinator(connection) : { nodeId: -1, host: "", port: -1 };
  const errorCode = failure?.errorCode ?? NO_ERROR;
  const errorMessage = failure?.errorMessage ?? null;
  if (apiVersion < FIRST_BATCHED_VERSION) {
    return { throttleTimeMs: 0, errorCode, errorMessage, nodeId, host, port };
  }
  const coordinators = request.coordinatorKeys.map((key) => ({
    key,
    nodeId,
    host,
    port,
    errorCode,
    errorMessage,
  }));
  return { throttleTimeMs: 0, coordinators };
}
