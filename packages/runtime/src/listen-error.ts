import { OttlaError } from "@ottla/errors";

export interface ListenTarget {
  readonly host: string;
  readonly port: number;
  /** The flag that changes the port, such as --http-port. */
  readonly portFlag: string;
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "unknown";
}

/** Says why a port cannot be listened on and which flag helps; for any server of the product. */
export function listenError(error: unknown, target: ListenTarget): OttlaError {
  const { host, port, portFlag } = target;
  const reason = error instanceof Error ? error.message : String(error);
  const message = ((): string => {
    switch (codeOf(error)) {
      case "EADDRINUSE":
        return `port ${port} of ${host} is in use: set ${portFlag}`;
      case "EACCES":
        return `port ${port} of ${host} needs more privileges: set ${portFlag} to 1024 or more`;
      case "EADDRNOTAVAIL":
        return `${host} is no address of this machine: set --listen`;
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return `the name ${host} cannot be resolved: set --listen`;
      default:
        return `cannot listen on port ${port} of ${host}: ${reason}`;
    }
  })();
  return new OttlaError("INVALID_CONFIG", message, { cause: error, metadata: { host, port: String(port) } });
}
