import { OttlaError } from "@ottla/errors";
import type { ICompare, IEvent, IKeyValue, IRequestOp, ITxnRequest, ITxnResponse } from "etcd3";
import type {
  Comparison,
  KeyValue,
  Operation,
  Revision,
  Transaction,
  TransactionResult,
  WatchEvent,
} from "../metadata-store.ts";
import { leaseNotFound } from "../transaction-limits.ts";

const NO_LEASE = "0";
const LEASE_ID = /^-?\d{1,19}$/;

/**
 * A NUL byte as the end of a range means to etcd: to the last key. As its start it is the first possible key.
 */
const NUL = Buffer.from([0]);

/** etcd3 hands over int64 as text; beyond 2^53 a number would no longer be exact. */
export function revisionOf(text: string): Revision {
  const revision = Number(text);
  if (!Number.isSafeInteger(revision) || revision < 0) {
    throw new OttlaError(
      "METADATA_UNAVAILABLE",
      `etcd answered with revision ${text}, the limit is 2^53 - 1`,
    );
  }
  return revision;
}

export interface KeyRange {
  readonly key: Buffer;
  readonly range_end: Buffer;
}

/** All keys that begin with `prefix` and come after `after`. */
export function prefixRange(prefix: string, after?: string): KeyRange {
  const start = Buffer.from(prefix);
  const range_end = prefixEnd(start);
  const next = after === undefined ? NUL : Buffer.concat([Buffer.from(after), NUL]);
  if (Buffer.compare(next, start) <= 0) return { key: start.length === 0 ? NUL : start, range_end };
  // A range that would start behind its end is empty; etcd wants it the right way round.
  const isBehind = !range_end.equals(NUL) && Buffer.compare(next, range_end) > 0;
  return { key: isBehind ? range_end : next, range_end };
}

/**
 * The first key after all that begin with `prefix`. UTF-8 has no byte 0xff, so the last byte can be raised.
 */
function prefixEnd(prefix: Buffer): Buffer {
  const last = prefix.at(-1);
  if (last === undefined) return NUL;
  const end = Buffer.from(prefix);
  end[end.length - 1] = last + 1;
  return end;
}

/** A copy: a view would keep the whole message in memory. */
export function keyValueOf(entry: IKeyValue): KeyValue {
  return {
    key: entry.key.toString(),
    value: new Uint8Array(entry.value),
    createRevision: revisionOf(entry.create_revision),
    modRevision: revisionOf(entry.mod_revision),
    version: revisionOf(entry.version),
    leaseId: entry.lease === NO_LEASE ? undefined : entry.lease,
  };
}

export function watchEventOf(event: IEvent): WatchEvent {
  // The types of etcd3 say "Put", the wire says "PUT".
  if (event.type.toUpperCase() === "PUT") return { kind: "put", entry: keyValueOf(event.kv) };
  return { kind: "delete", key: event.kv.key.toString(), revision: revisionOf(event.kv.mod_revision) };
}

export function transactionRequest(transaction: Transaction): ITxnRequest {
  return {
    compare: transaction.compare.map(comparison),
    success: transaction.success.map(operation),
    failure: (transaction.failure ?? []).map(operation),
  };
}

function comparison(wanted: Comparison): ICompare {
  const key = Buffer.from(wanted.key);
  if ("createRevision" in wanted) {
    return { key, result: "Equal", target: "Create", create_revision: wanted.createRevision };
  }
  return { key, result: "Equal", target: "Mod", mod_revision: wanted.modRevision };
}

function operation(wanted: Operation): IRequestOp {
  if (wanted.kind === "delete-prefix") return { request_delete_range: prefixRange(wanted.prefix) };
  const key = Buffer.from(wanted.key);
  if (wanted.kind === "get") return { request_range: { key } };
  if (wanted.kind === "delete") return { request_delete_range: { key } };
  const value = Buffer.from(wanted.value);
  if (wanted.leaseId === undefined) return { request_put: { key, value } };
  if (!LEASE_ID.test(wanted.leaseId)) throw leaseNotFound(wanted.leaseId);
  return { request_put: { key, value, lease: wanted.leaseId } };
}

export function transactionResult(transaction: Transaction, response: ITxnResponse): TransactionResult {
  const branch = response.succeeded ? transaction.success : (transaction.failure ?? []);
  const reads: (KeyValue | undefined)[] = [];
  for (const [i, { kind }] of branch.entries()) {
    if (kind !== "get") continue;
    const entry = response.responses[i]?.response_range.kvs[0];
    reads.push(entry === undefined ? undefined : keyValueOf(entry));
  }
  return { succeeded: response.succeeded, revision: revisionOf(response.header.revision), reads };
}
