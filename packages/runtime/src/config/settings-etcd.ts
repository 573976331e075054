import * as z from "zod";
import { durationMs, optionalText, textList } from "./setting-kinds.ts";

/** The settings that matter once the metadata is in etcd: a part of the schema in settings-schema.ts. */

export const cluster = z.strictObject({
  leaseTtlMs: durationMs({
    min: 3_000,
    max: 10_000,
    default: 6_000,
    documentation:
      "Time after which a node that fell silent counts as gone and others take over. Shorter means shorter " +
      "stalls after a crash; longer forgives longer pauses of a node or of etcd.",
  }),
});

const FILE_NAME = { pattern: /^[^\0]+$/, maxLength: 4_096, expected: "a path of at most 4096 characters" };

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
