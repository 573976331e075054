import type { PartitionReassignment } from "@ottla/client";
import { CliError, ExitCode } from "../exit-codes.ts";

/**
 * Reads a plan in the form of Kafka's `kafka-reassign-partitions`: `{"version": 1, "partitions": [{"topic":
 * "t", "partition": 0, "replicas": [1, 2]}]}`. Log directories may be named there and are not looked at.
 */
export function parseReassignmentPlan(file: string, text: string): PartitionReassignment[] {
  const fault = (what: string): CliError => new CliError(ExitCode.failed, `${file}: ${what}`);
  let plan: unknown;
  try {
    plan = JSON.parse(text);
  } catch (thrown) {
    throw fault(`is not JSON: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  const partitions = isObject(plan) ? plan["partitions"] : undefined;
  if (!Array.isArray(partitions) || partitions.length === 0) {
    throw fault('lacks "partitions", a list of {"topic", "partition", "replicas"}');
  }
  return partitions.map((entry: unknown, index) => {
    const { topic, partition, replicas } = isObject(entry) ? entry : {};
    const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
    if (typeof topic !== "string") throw fault(`partitions[${index}].topic: must be a name`);
    if (!isWhole(partition)) throw fault(`partitions[${index}].partition: must be a number from 0`);
    if (!Array.isArray(replicas) || !replicas.every(isWhole)) {
      throw fault(`partitions[${index}].replicas: must be a list of storage nodes`);
    }
    return { topic, partition, replicas };
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
