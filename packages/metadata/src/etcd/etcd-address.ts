import { OttlaError } from "@ottla/errors";

const MAX_ENDPOINTS = 32;

export interface EtcdAddresses {
  /** Each as "host:port". */
  readonly addresses: readonly string[];
  readonly secure: boolean;
}

/** Reads etcd.endpoints: "http://host:port", "https://host:port" or "host:port"; all or none with https. */
export function parseEtcdEndpoints(endpoints: readonly string[], hasTls: boolean): EtcdAddresses {
  if (endpoints.length === 0 || endpoints.length > MAX_ENDPOINTS) {
    throw invalid(`has ${endpoints.length} entries, needs 1 to ${MAX_ENDPOINTS}`);
  }
  const urls = endpoints.map((endpoint) => parseEndpoint(endpoint, hasTls));
  const secureCount = urls.filter((url) => url.protocol === "https:").length;
  if (secureCount !== 0 && secureCount !== urls.length) throw invalid("mixes http and https");
  if (hasTls && secureCount === 0) throw invalid("must say https where etcd.tls-… is set");
  const addresses = urls.map((url) => url.host);
  if (new Set(addresses).size !== addresses.length) throw invalid("names an address twice");
  return { addresses, secure: secureCount > 0 };
}

interface Endpoint {
  readonly protocol: string;
  readonly host: string;
}

function parseEndpoint(endpoint: string, hasTls: boolean): Endpoint {
  const match = /^(?:(https?):\/\/)?([^/?#@\s]+)\/?$/.exec(endpoint);
  const authority = match?.[2] ?? "";
  // URL leaves a default port out, so it is asked with a scheme that has none.
  const parsed = URL.parse(`etcd://${authority}`);
  if (parsed === null || parsed.hostname === "" || parsed.port === "") {
    throw invalid(`holds "${endpoint}", which is not host:port or https://host:port`);
  }
  return { protocol: `${match?.[1] ?? (hasTls ? "https" : "http")}:`, host: authority };
}

function invalid(message: string): OttlaError {
  return new OttlaError("INVALID_CONFIG", `etcd.endpoints ${message}`, {
    metadata: { field: "etcd.endpoints" },
  });
}
