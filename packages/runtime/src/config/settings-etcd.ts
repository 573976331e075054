import { isIPv6 } from "node:net";
import * as z from "zod";
import { durationMs, optionalText, optionalWholeNumber, port, text, textList } from "./setting-kinds.ts";

/** The settings that matter once the metadata is in etcd: a part of the schema in settings-schema.ts. */

const FILE_NAME = { pattern: /^[^\0]+$/, maxLength: 4_096, expected: "a path of at most 4096 characters" };

/** What clients and nodes connect to. */
export const HOST_AND_PORT =
  /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):[1-9][0-9]{0,4}$/;

/**
 * The address of a pod comes without brackets, whatever its family: `fd00::1:50052` means
 * `[fd00::1]:50052`, since a port is always there.
 */
function bracketIpv6(address: string): string {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, Math.max(0, colon));
  return isIPv6(host) ? `[${host}]${address.slice(colon)}` : address;
}

export const cluster = z.strictObject({
  name: text({
    default: "ottla",
    pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    maxLength: 64,
    expected: '1 to 64 letters, digits, ".", "_" and "-", the first a letter or digit',
    documentation:
      "Name under which etcd keeps this cluster, below /ottla/: several clusters can share one etcd. Not used " +
      "without etcd.",
  }),
  secret: optionalText({
    pattern: /^[^\0]{16,}$/,
    maxLength: 1_024,
    expected: "16 to 1024 characters",
    secret: true,
    defaultDocumentation: "none; required with etcd",
    documentation:
      "What the cluster's nodes prove to one another that they belong together: the same on all of them. A node " +
      "with another one does not start. Further lines are secrets that it takes from others too, while the secret is " +
      "being changed. Other users of the machine can see flags: prefer the environment variable or " +
      "cluster.secret-file.",
  }),
  secretFile: optionalText({
    ...FILE_NAME,
    defaultDocumentation: "none",
    documentation:
      "File that holds the secret instead, such as a mounted one, or several, a line each. A newline at its end is " +
      "ignored.",
  }),
  initialFeatureLevel: optionalWholeNumber({
    min: 1,
    max: 1_000,
    defaultDocumentation: "the highest that the coordinator supports",
    documentation:
      "Feature level at which a new cluster begins. A lower one lets older versions take part until " +
      "`ottla cluster upgrade` raises it. Has no effect on a cluster that is there.",
  }),
  leaseTtlMs: durationMs({
    min: 3_000,
    max: 10_000,
    default: 6_000,
    documentation:
      "Time after which a node that fell silent counts as gone and others take over. Shorter means shorter " +
      "stalls after a crash; longer forgives longer pauses of a node or of etcd.",
  }),
});

export const internal = z.strictObject({
  port: port({
    default: 50_052,
    documentation:
      "Port at which the cluster's other nodes reach this one. Only used with etcd, and not by a node that is " +
      "a gateway only. 0 takes any free port, which the log names at start.",
  }),
  listen: optionalText({
    pattern: /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/,
    maxLength: 253,
    expected: "an IP address or a host name, without a port",
    defaultDocumentation: "the value of listen",
    documentation: "Address to listen on for the cluster's other nodes.",
  }),
  advertisedAddress: optionalText({
    prepare: bracketIpv6,
    pattern: HOST_AND_PORT,
    maxLength: 260,
    expected: "host:port",
    defaultDocumentation: "the address and the port that it listens on",
    documentation:
      "Where the other nodes are told to reach this one. Required where internal.listen is an address that " +
      "stands for all (0.0.0.0 or ::).",
  }),
});

export const etcd = z.strictObject({
  endpoints: textList({
    pattern: /^(?:https?:\/\/)?(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}\/?$/,
    maxLength: 300,
    expected: "addresses such as https://etcd-0.etcd:2379 or etcd:2379",
    defaultDocumentation: "none: a process of all roles keeps its metadata in the data directory",
    documentation:
      "Members of the etcd that keeps the cluster's metadata. When one does not answer, another is asked. " +
      "Either all say https or none. etcd 3.5.13 or newer is recommended, 3.4 is required.",
  }),
  username: optionalText({
    pattern: /^[^\0]+$/,
    maxLength: 256,
    expected: "1 to 256 characters",
    defaultDocumentation: "no login",
    documentation: "User of etcd. Its role must be able to read and write keys that begin with /ottla/.",
  }),
  password: optionalText({
    pattern: /^[^\0]+$/,
    maxLength: 1_024,
    expected: "1 to 1024 characters",
    secret: true,
    defaultDocumentation: "no login",
    documentation:
      "Password of the user. Other users of the machine can see flags: prefer the environment variable or " +
      "etcd.password-file.",
  }),
  passwordFile: optionalText({
    ...FILE_NAME,
    defaultDocumentation: "none",
    documentation:
      "File that holds the password instead, such as a mounted secret. A newline at its end is ignored.",
  }),
  tlsCaFile: optionalText({
    ...FILE_NAME,
    defaultDocumentation: "the authorities that Node trusts",
    documentation: "PEM file with the authorities that may have signed etcd's certificate.",
  }),
  tlsCertificateFile: optionalText({
    ...FILE_NAME,
    defaultDocumentation: "none",
    documentation: "PEM file with the certificate to show to etcd, where it asks for one.",
  }),
  tlsKeyFile: optionalText({
    ...FILE_NAME,
    defaultDocumentation: "none",
    documentation: "PEM file with the private key of etcd.tls-certificate-file.",
  }),
  timeoutMs: durationMs({
    min: 500,
    max: 60_000,
    default: 5_000,
    documentation: "Time that etcd has to answer. After it a read has failed and a write is read back.",
  }),
});

type EtcdValues = z.output<typeof etcd>;

type ClusterValues = z.output<typeof cluster>;
type InternalValues = z.output<typeof internal>;

/** What is wrong with the settings by which nodes reach one another, as path and message. */
export function clusterFault(values: {
  readonly cluster: ClusterValues;
  readonly internal: InternalValues;
  readonly etcd: EtcdValues;
  readonly listen: string;
}): readonly [readonly string[], string] | undefined {
  if (values.cluster.secret !== undefined && values.cluster.secretFile !== undefined) {
    return [["cluster", "secretFile"], "must be left out when cluster.secret is set"];
  }
  if (values.etcd.endpoints.length === 0) return undefined;
  if (values.cluster.secret === undefined && values.cluster.secretFile === undefined) {
    return [["cluster", "secret"], "must be set, or cluster.secret-file, where etcd.endpoints is"];
  }
  const { listen = values.listen, advertisedAddress } = values.internal;
  if (advertisedAddress === undefined && (listen === "0.0.0.0" || listen === "::")) {
    const message = `must be set where the node listens on ${listen}, which others cannot connect to`;
    return [["internal", "advertisedAddress"], message];
  }
  return undefined;
}

/** What is wrong with settings of etcd that do not go together: the setting at fault and what it must be. */
export function etcdFault(values: EtcdValues): readonly [keyof EtcdValues, string] | undefined {
  const secureCount = values.endpoints.filter((endpoint) => endpoint.startsWith("https:")).length;
  if (secureCount > 0 && secureCount < values.endpoints.length) {
    return ["endpoints", "must all say https, or none"];
  }
  if (values.password !== undefined && values.passwordFile !== undefined) {
    return ["passwordFile", "must be left out when etcd.password is set"];
  }
  const hasPassword = values.password !== undefined || values.passwordFile !== undefined;
  if (hasPassword !== (values.username !== undefined)) {
    return ["username", "must be set together with etcd.password or etcd.password-file"];
  }
  if ((values.tlsKeyFile === undefined) !== (values.tlsCertificateFile === undefined)) {
    return ["tlsKeyFile", "must be set together with etcd.tls-certificate-file"];
  }
  return undefined;
}
