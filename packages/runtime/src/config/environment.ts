import { nearestName } from "./nearest-name.ts";
import { settingDefinitions } from "./setting-list.ts";
import type { GivenSetting, SourceReading } from "./setting-source.ts";

/** Variables that begin with OTTLA_ but are no settings of `serve`: the one list of them. */
export const OTHER_VARIABLES = {
  OTTLA_CONFIG: "YAML file with settings of `ottla serve`; the flag --config goes before it",
  OTTLA_ADDRESS: "where the commands of `ottla` find the cluster (host:port, or several with commas between)",
  OTTLA_OUTPUT: "output of the commands of `ottla`: table, json or yaml",
  OTTLA_NODE: "the Node.js program that `bin/ottla` and the scripts run",
} as const;

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "OTTLA_";
const SERVICE_LINK_NAME = /_SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?$/;
const SERVICE_LINK_VALUE = /^(?:tcp|udp|sctp):\/\//;

/**
 * Kubernetes puts OTTLA_PORT=tcp://10.0.0.1:50051, OTTLA_SERVICE_HOST and more into every pod beside a
 * Service named "ottla" (and OTTLA_GRPC_PORT beside "ottla-grpc"). Nobody wrote those as settings, so they
 * are passed over.
 */
function isServiceLink(name: string, value: string): boolean {
  if (SERVICE_LINK_NAME.test(name)) return true;
  return name.endsWith("_PORT") && SERVICE_LINK_VALUE.test(value);
}

/** Every variable that begins with OTTLA_ and means something. */
export function environmentNames(): string[] {
  return [
    ...settingDefinitions.map(({ environmentName }) => environmentName),
    ...Object.keys(OTHER_VARIABLES),
  ];
}

/**
 * Reads the variables that begin with OTTLA_. An empty one counts as not set, as compose files and charts
 * leave them.
 */
export function readEnvironment(environment: Environment): SourceReading {
  const given: GivenSetting[] = [];
  const faults: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || value === undefined || value === "") continue;
    if (Object.hasOwn(OTHER_VARIABLES, name) || isServiceLink(name, value)) continue;
    const definition = settingDefinitions.find((candidate) => candidate.environmentName === name);
    if (definition === undefined) {
      const known = [
        ...settingDefinitions.map((each) => each.environmentName),
        ...Object.keys(OTHER_VARIABLES),
      ];
      const nearest = nearestName(name, known);
      const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
      faults.push(`environment ${name}: no such setting${hint}`);
    } else {
      given.push({ definition, raw: value, source: `environment ${name}` });
    }
  }
  return { given, faults };
}
