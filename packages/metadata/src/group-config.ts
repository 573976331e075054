import { OttlaError } from "@ottla/errors";
import type { TopicConfigMap } from "./topic-config.ts";

/** What holds for groups that set nothing, and the bounds of what they set: settings of `groups.…`. */
export interface GroupDefaults {
  readonly consumerSessionTimeoutMs: number;
  readonly consumerMinSessionTimeoutMs: number;
  readonly consumerMaxSessionTimeoutMs: number;
  readonly consumerHeartbeatIntervalMs: number;
  readonly consumerMinHeartbeatIntervalMs: number;
  readonly consumerMaxHeartbeatIntervalMs: number;
}

/** Effective settings of a group. */
export interface GroupConfig {
  readonly consumerSessionTimeoutMs: number;
  readonly consumerHeartbeatIntervalMs: number;
}

export interface GroupSetting {
  /** Kafka's name. */
  readonly name: string;
  /** What Kafka's brokers call the default. */
  readonly brokerName: string;
  /** The product's default of that. */
  readonly defaultMs: number;
  readonly default: keyof GroupConfig;
  readonly min: keyof GroupDefaults;
  readonly max: keyof GroupDefaults;
  readonly documentation: string;
}

const SESSION_TIMEOUT: GroupSetting = {
  name: "consumer.session.timeout.ms",
  brokerName: "group.consumer.session.timeout.ms",
  defaultMs: 45_000,
  default: "consumerSessionTimeoutMs",
  min: "consumerMinSessionTimeoutMs",
  max: "consumerMaxSessionTimeoutMs",
  documentation: "How long a member of the consumer protocol may be silent, in milliseconds.",
};

const HEARTBEAT_INTERVAL: GroupSetting = {
  name: "consumer.heartbeat.interval.ms",
  brokerName: "group.consumer.heartbeat.interval.ms",
  defaultMs: 5_000,
  default: "consumerHeartbeatIntervalMs",
  min: "consumerMinHeartbeatIntervalMs",
  max: "consumerMaxHeartbeatIntervalMs",
  documentation: "How often members of the consumer protocol say that they live, in milliseconds.",
};

/** All settings of groups that are served. */
export const GROUP_SETTINGS: readonly GroupSetting[] = [HEARTBEAT_INTERVAL, SESSION_TIMEOUT];

/** The effective settings of a group out of what was set on it, which was checked then. */
export function groupConfig(configs: TopicConfigMap, defaults: GroupConfig): GroupConfig {
  return {
    consumerSessionTimeoutMs: effectiveMs(SESSION_TIMEOUT, configs, defaults),
    consumerHeartbeatIntervalMs: effectiveMs(HEARTBEAT_INTERVAL, configs, defaults),
  };
}

function effectiveMs(setting: GroupSetting, configs: TopicConfigMap, defaults: GroupConfig): number {
  const own = configs[setting.name];
  return own === undefined ? defaults[setting.default] : Number(own);
}

/**
 * Throws INVALID_CONFIG for what no group may set: unknown names, values out of the node's bounds, and a
 * session that would be over before the next heartbeat is due.
 */
export function checkGroupConfig(configs: TopicConfigMap, defaults: GroupDefaults): void {
  for (const [name, value] of Object.entries(configs)) {
    const setting = GROUP_SETTINGS.find((known) => known.name === name);
    if (setting === undefined) {
      const served = GROUP_SETTINGS.map((known) => known.name).join(" and ");
      throw invalidConfig(name, `unknown group setting "${name.slice(0, 100)}": ${served} are served`);
    }
    const [min, max] = [defaults[setting.min], defaults[setting.max]];
    const isGood = /^[1-9][0-9]{0,9}$/.test(value) && Number(value) >= min && Number(value) <= max;
    if (isGood) continue;
    const limit = `a whole number from ${min} to ${max}`;
    const message = `${name} = "${value.slice(0, 100)}" is not allowed: it must be ${limit}`;
    throw invalidConfig(name, message, limit);
  }
  const { consumerSessionTimeoutMs: sessionMs, consumerHeartbeatIntervalMs: intervalMs } = groupConfig(
    configs,
    defaults,
  );
  if (sessionMs > intervalMs) return;
  const [session, interval] = [SESSION_TIMEOUT.name, HEARTBEAT_INTERVAL.name];
  const message = `${session} = ${sessionMs} must be above ${interval} = ${intervalMs}`;
  throw invalidConfig(session, message, String(intervalMs));
}

function invalidConfig(name: string, message: string, limit?: string): OttlaError {
  const metadata: Record<string, string> = { field: `configs[${name.slice(0, 100)}]` };
  if (limit !== undefined) metadata["limit"] = limit;
  return new OttlaError("INVALID_CONFIG", message, { metadata });
}
