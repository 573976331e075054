/**
 * InitProducerId (22), versions 0 to 5: a producer id for an idempotent producer.
 *
 * - Each call gives an id that nobody had before, with epoch 0, also when the producer names
 *   an earlier one (version 3), as Kafka does for producers without a transactional id.
 * - A transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every
 *   client takes as final; an empty one with INVALID_REQUEST.
 * - While no ids can be had, COORDINATOR_LOAD_IN_PROGRESS makes clients come back.
 *
 * Deliberately not here: transactions.
 */
import { toOttlaError } from "@ottla/errors";
import { initProducerId, type ResponseOf } from "@ottla/kafka-protocol";
import { type AnyKafkaHandler, kafkaHandler } from "./handler.ts";
import { failureOf, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

type Response = ResponseOf<typeof initProducerId>;

const NONE = -1;

export function initProducerIdHandler({ producerIds }: KafkaServices): AnyKafkaHandler {
  return kafkaHandler({
    api: initProducerId,
    versions: { min: 0, max: 5 },
    async handle({ transactionalId, producerId, producerEpoch }) {
      if (transactionalId === "") {
        return refused(failureOf("INVALID_REQUEST", "the transactional id is empty").errorCode);
      }
      if (transactionalId !== null) {
        return refused(
          failureOf("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "transactions are not served").errorCode,
        );
      }
      if ((producerId === NONE) !== (producerEpoch === NONE)) {
        return refused(failureOf("INVALID_REQUEST", "producer id and epoch go together").errorCode);
      }
      try {
        return {
          throttleTimeMs: 0,
          errorCode: NO_ERROR,
          producerId: await producerIds.next(),
          producerEpoch: 0,
        };
      } catch (thrown) {
        if (!toOttlaError(thrown).retriable) throw thrown;
        return refused(
          failureOf("COORDINATOR_LOAD_IN_PROGRESS", "no producer ids can be had right now").errorCode,
        );
      }
    },
    failure: (_, { errorCode }) => refused(errorCode),
  });
}

function refused(errorCode: number): Response {
  return { throttleTimeMs: 0, errorCode, producerId: NONE, producerEpoch: NONE };
}
