import { X509Certificate } from "node:crypto";
import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import { OttlaError } from "@ottla/errors";

export interface EtcdTls {
  /** PEM of the authorities that may have signed etcd's certificate; those that Node trusts when left out. */
  readonly rootCertificates?: Uint8Array | undefined;
  /** PEM of our own certificate and its key, where etcd wants one. */
  readonly certificate?: Uint8Array | undefined;
  readonly privateKey?: Uint8Array | undefined;
}

/** How to secure the connection to one member. */
export interface ChannelSecurity {
  readonly channelCredentials: ChannelCredentials;
  readonly channelOptions: ChannelOptions;
}

const IP_ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|(\d+\.\d+\.\d+\.\d+)):\d+$/;

/** Sent as the server's name, which must not be an address, where only an address is known. */
const NAME_OF_ADDRESS = "etcd";

export function channelSecurity(address: string, isSecure: boolean, tls: EtcdTls = {}): ChannelSecurity {
  if (!isSecure) return { channelCredentials: credentials.createInsecure(), channelOptions: {} };
  const { rootCertificates, certificate, privateKey } = tls;
  if ((certificate === undefined) !== (privateKey === undefined)) {
    throw new OttlaError("INVALID_CONFIG", "etcd.tls-certificate-file and etcd.tls-key-file go together");
  }
  const files = [pem(rootCertificates), pem(privateKey), pem(certificate)] as const;
  const match = IP_ADDRESS.exec(address);
  const ip = match?.[1] ?? match?.[2];
  if (ip === undefined) {
    return { channelCredentials: credentials.createSsl(...files), channelOptions: {} };
  }
  // grpc-js would send the address as the server's name, which Node refuses: so the check is our own.
  const checkServerIdentity = (_name: string, { raw }: { readonly raw: Buffer }): Error | undefined =>
    new X509Certificate(raw).checkIP(ip) === undefined
      ? new OttlaError("METADATA_UNAVAILABLE", `the certificate of etcd at ${address} is not for ${ip}`)
      : undefined;
  return {
    channelCredentials: credentials.createSsl(...files, { checkServerIdentity }),
    channelOptions: { "grpc.ssl_target_name_override": NAME_OF_ADDRESS },
  };
}

function pem(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : Buffer.from(bytes);
}
