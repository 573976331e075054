import type { ServiceError } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";

/**
 * What a failed call to etcd means for the one who made it.
 * - `unreachable`, `timeout`: another member may answer. A transaction may have been applied.
 * - `token`: etcd has forgotten our login, and did nothing: log in again.
 * - `lease`: the lease is gone; nothing was done.
 * - `compacted`: the revision asked for is no longer there.
 * - `refused`: etcd said no; nothing was done, and asking again does not help.
 */
export type EtcdFailure = "unreachable" | "timeout" | "token" | "lease" | "compacted" | "refused";

const FAILURE = "etcd_failure";

interface KnownMessage {
  readonly text: string;
  readonly failure: EtcdFailure;
  readonly advice?: string;
}

/**
 * etcd's own messages (api/v3rpc/rpctypes), which all come before anything was applied.
 * The three of "token" are those after which etcd's own client logs in again.
 */
const KNOWN_MESSAGES: readonly KnownMessage[] = [
  { text: "etcdserver: invalid auth token", failure: "token" },
  { text: "etcdserver: user name is empty", failure: "token", advice: "set etcd.username and etcd.password" },
  { text: "etcdserver: revision of auth store is old", failure: "token" },
  { text: "etcdserver: requested lease not found", failure: "lease" },
  { text: "etcdserver: mvcc: required revision has been compacted", failure: "compacted" },
  {
    text: "etcdserver: permission denied",
    failure: "refused",
    advice: "grant etcd.username's role read and write under /ottla/",
  },
  {
    text: "etcdserver: authentication failed",
    failure: "refused",
    advice: "check etcd.username and etcd.password",
  },
  {
    text: "etcdserver: authentication is not enabled",
    failure: "refused",
    advice: "leave etcd.username and etcd.password out, or turn on authentication in etcd",
  },
  {
    text: "etcdserver: mvcc: database space exceeded",
    failure: "refused",
    advice: "compact and defragment etcd or raise its --quota-backend-bytes, then `etcdctl alarm disarm`",
  },
  {
    text: "etcdserver: request is too large",
    failure: "refused",
    advice: "raise etcd's --max-request-bytes to 1.5 MiB or more",
  },
  {
    text: "etcdserver: too many operations in txn request",
    failure: "refused",
    advice: "raise etcd's --max-txn-ops to 128 or more",
  },
];

/** gRPC codes by which etcd refuses a request that it did not apply. */
const REFUSED_CODES: ReadonlySet<number> = new Set([3, 7, 9, 11, 12, 16]);

/**
 * The error of a call that etcd answered with an error or did not answer; `what` says which call and where.
 */
export function etcdCallError(what: string, error: ServiceError): OttlaError {
  // grpc-js names what the resolver said even where it said nothing.
  const text = (error.details === "" ? error.message : error.details).replace(/\.? Resolution note: $/, "");
  const known = KNOWN_MESSAGES.find((message) => text.includes(message.text));
  const failure = known?.failure ?? (REFUSED_CODES.has(error.code) ? "refused" : "unreachable");
  const advice = known?.advice === undefined ? "" : `; ${known.advice}`;
  return etcdError(failure, `${what} failed: ${text}${advice}`, error);
}

export function etcdError(failure: EtcdFailure, message: string, cause?: unknown): OttlaError {
  const isConflict = failure === "lease" || failure === "compacted";
  return new OttlaError(isConflict ? "METADATA_CONFLICT" : "METADATA_UNAVAILABLE", message, {
    cause,
    metadata: { [FAILURE]: failure },
  });
}

/** What a failure means, or undefined for an error that has another origin. */
export function failureOf(thrown: unknown): EtcdFailure | undefined {
  if (!(thrown instanceof OttlaError)) return undefined;
  return thrown.metadata[FAILURE] as EtcdFailure | undefined;
}

/** Whether etcd said that it did not do what was asked. */
export function isRefusal(thrown: unknown): boolean {
  const failure = failureOf(thrown);
  return failure !== undefined && failure !== "unreachable" && failure !== "timeout";
}

/** Whether another member, or the same one later, may answer where this one did not. */
export function mayAnswerElsewhere(thrown: unknown): boolean {
  const failure = failureOf(thrown);
  return failure === "unreachable" || failure === "timeout";
}
