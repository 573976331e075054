import { OttlaError } from "@ottla/errors";
import type { Error as ErrorMessage } from "@ottla/proto/ottla/v1/record";
import { fromErrorMessage } from "@ottla/routing";
import type { KafkaRequestContext } from "./handler.ts";
import { type KafkaFailure, NO_ERROR } from "./kafka-failures.ts";
import type { KafkaServices } from "./kafka-services.ts";

/** What the handlers of groups share. */

/** Read, delete, describe, and describe and alter settings: there is no authorization yet. */
export const ALL_GROUP_OPERATIONS = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);
export const OPERATIONS_NOT_ASKED = -2147483648;

/** Requests that wait for other members are given up by their client, or by the gateway when it stops. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;

/** How Kafka writes down who a member is: "/" and the address, without the port. */
export function groupClient({ clientId, peer }: KafkaRequestContext) {
  const colon = peer.lastIndexOf(":");
  const address = colon < 0 ? peer : peer.slice(0, colon);
  return { clientId: clientId ?? "", clientHost: `/${address.replace(/^\[|\]$/g, "")}` };
}

/** For requests that wait for other members, however long those take. */
export function waitingCall({ signal, hurry }: KafkaRequestContext) {
  return { timeoutMs: NO_TIMEOUT_MS, signal: AbortSignal.any([signal, hurry]) };
}

export function optionalInstance(instanceId: string | null): { readonly instanceId?: string } {
  return instanceId === null ? {} : { instanceId };
}

/** An item's error as the code that clients act on; an error without a reason is none. */
export function itemErrorCode(
  { failures }: KafkaServices,
  error: ErrorMessage | OttlaError | undefined,
  api: string,
): number {
  if (error === undefined) return NO_ERROR;
  if (error instanceof OttlaError) return failures.of(error, api).errorCode;
  return error.reason === "" ? NO_ERROR : failures.of(fromErrorMessage(error), api).errorCode;
}

/** The result of a call, or why it failed: for answers that carry an error for each group. */
export async function outcomeOf<T>(
  services: KafkaServices,
  api: string,
  call: Promise<T>,
): Promise<{ readonly result: T; readonly failure?: undefined } | { readonly failure: KafkaFailure }> {
  try {
    return { result: await call };
  } catch (thrown) {
    return { failure: services.failures.of(thrown, api) };
  }
}
