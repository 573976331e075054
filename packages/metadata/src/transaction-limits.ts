import { invalidRequest, OttlaError } from "@ottla/errors";
import type { Operation, Transaction } from "./metadata-store.ts";

/** etcd's default `--max-txn-ops`: it holds for comparisons, for `success` and for `failure` separately. */
export const MAX_TRANSACTION_OPERATIONS = 128;

/** Below etcd's default `--max-request-bytes` of 1.5 MiB, with room for the frame. */
export const MAX_TRANSACTION_BYTES = 1024 * 1024;

/** The longest key that any store takes, in UTF-16 units. */
const MAX_KEY_LENGTH = 1024;

/**
 * Refuses, alike in every store, what etcd would refuse: too many operations, too many bytes, and a key that
 * is changed twice by one branch.
 */
export function checkTransaction(transaction: Transaction): void {
  checkCount("compare", transaction.compare.length);
  checkCount("success", transaction.success.length);
  checkCount("failure", transaction.failure?.length ?? 0);
  for (const comparison of transaction.compare) checkKey(comparison.key);
  checkBranch("success", transaction.success);
  checkBranch("failure", transaction.failure ?? []);
}

function checkCount(field: string, count: number): void {
  if (count > MAX_TRANSACTION_OPERATIONS) {
    const limit = MAX_TRANSACTION_OPERATIONS;
    throw invalidRequest(field, `${count} operations in one transaction, the limit is ${limit}`, limit);
  }
}

function checkBranch(field: string, operations: readonly Operation[]): void {
  let sizeBytes = 0;
  const changed = new Set<string>();
  const deletedPrefixes: string[] = [];
  for (const operation of operations) {
    if (operation.kind === "delete-prefix") {
      checkPrefix(operation.prefix);
      deletedPrefixes.push(operation.prefix);
      continue;
    }
    checkKey(operation.key);
    if (operation.kind === "get") continue;
    if (changed.has(operation.key)) throw changedTwice(field, operation.key);
    changed.add(operation.key);
    if (operation.kind === "put") sizeBytes += operation.key.length + operation.value.byteLength;
  }
  if (sizeBytes > MAX_TRANSACTION_BYTES) {
    const limit = MAX_TRANSACTION_BYTES;
    throw invalidRequest(field, `a transaction that writes ${sizeBytes} bytes, the limit is ${limit}`, limit);
  }
  for (const prefix of deletedPrefixes) {
    for (const key of changed) if (key.startsWith(prefix)) throw changedTwice(field, key);
  }
}

function changedTwice(field: string, key: string): OttlaError {
  return invalidRequest(field, `the key ${key} is changed twice in one transaction`);
}

/** Keys are text of one byte order in every store; NUL and lone surrogates have no such order. */
export function checkKey(key: string): void {
  if (key.length === 0) throw invalidRequest("key", "it is empty");
  checkPrefix(key);
}

export function checkPrefix(key: string): void {
  if (key.length > MAX_KEY_LENGTH) {
    throw invalidRequest("key", `it is ${key.length} characters long, the limit is ${MAX_KEY_LENGTH}`);
  }
  if (key.includes("\0") || !key.isWellFormed()) {
    throw invalidRequest("key", "it holds a NUL character or half a surrogate pair");
  }
}

/** The error of a `put` whose lease is gone. Nothing of the transaction was applied. */
export function leaseNotFound(leaseId: string): OttlaError {
  return new OttlaError("METADATA_CONFLICT", `the lease ${leaseId} has ended; nothing was written`, {
    metadata: { leaseId },
  });
}

/** The error of every call on a store that was closed. */
export function storeClosed(name: string): OttlaError {
  return new OttlaError("METADATA_UNAVAILABLE", `the ${name} is closed`);
}
