import { OttlaError } from "@ottla/errors";
import type { Settings } from "@ottla/runtime";
import type { EtcdStoreOptions } from "./etcd-store.ts";

export type EtcdSettings = Settings["etcd"];

/**
 * What the settings `etcd.…` say of a store; reads the files that they name. Throws
 * INVALID_CONFIG with the setting.
 */
export async function readEtcdSettings(
  settings: EtcdSettings,
  readFile: (path: string) => Promise<Uint8Array>,
): Promise<Pick<EtcdStoreOptions, "endpoints" | "credentials" | "tls" | "timeoutMs">> {
  const read = async (name: string, path: string | undefined): Promise<Uint8Array | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readFile(path);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw new OttlaError("INVALID_CONFIG", `etcd.${name} names ${path}, which cannot be read: ${reason}`, {
        cause: thrown,
        metadata: { field: `etcd.${name}` },
      });
    }
  };
  const passwordFile = await read("password-file", settings.passwordFile);
  const password = passwordFile === undefined ? settings.password : textOf(passwordFile);
  const rootCertificates = await read("tls-ca-file", settings.tlsCaFile);
  const certificate = await read("tls-certificate-file", settings.tlsCertificateFile);
  const privateKey = await read("tls-key-file", settings.tlsKeyFile);
  const { endpoints, username, timeoutMs } = settings;
  const hasTls = rootCertificates !== undefined || certificate !== undefined;
  return {
    endpoints,
    timeoutMs,
    ...(username !== undefined && password !== undefined && { credentials: { username, password } }),
    ...(hasTls && { tls: { rootCertificates, certificate, privateKey } }),
  };
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/\r?\n$/, "");
}
