import { OttlaError } from "@ottla/errors";

export interface HttpGetOptions {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface HttpGot {
  readonly status: number;
  readonly body: string;
}

/** Asks an HTTP server for a small text. Throws UNAVAILABLE when there is no answer in time. */
export async function httpGet(options: HttpGetOptions): Promise<HttpGot> {
  const { host, port, path, headers = {}, timeoutMs } = options;
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await fetch(`http://${authority}${path}`, { headers: { ...headers }, signal });
    return { status: answer.status, body: await answer.text() };
  } catch (thrown) {
    const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
    const reason = cause.cause instanceof Error ? cause.cause.message : cause.message;
    throw new OttlaError("UNAVAILABLE", `cannot reach http://${authority}: ${reason}`, { cause });
  }
}
