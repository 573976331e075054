import { type ErrorCode, OttlaError, toOttlaError } from "@ottla/errors";
import type { ClusterView } from "@ottla/metadata";
import { CoordinatorService } from "@ottla/proto/ottla/internal/v1/coordinator";
import { createClient, NOT_SENT, type RpcClient, type Transport } from "@ottla/rpc";
import type { Clock } from "@ottla/runtime";

export interface ControllerClientOptions {
  readonly view: ClusterView;
  readonly clock: Clock;
  /**
   * A connection to the coordinator that the metadata says is active right now; throws
   * NOT_CONTROLLER without one.
   */
  readonly transport: () => Transport;
  /** How long to look for the active coordinator. */
  readonly retryMs: number;
}

/** Refused before anything was changed: the next active coordinator may be asked the same. */
const NOT_DONE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["NOT_CONTROLLER"]);
/** The outcome is not known: to be asked again only where asking twice does no harm. */
const UNKNOWN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "NETWORK_EXCEPTION",
  "UNAVAILABLE",
  "REQUEST_TIMED_OUT",
  "METADATA_UNAVAILABLE",
]);
const BACKOFF_MS = 50;

export interface ControllerCallOptions {
  /** Asking twice does no harm. */
  readonly isRepeatable?: boolean;
}

/** Calls the active coordinator, and looks for it again while there is none. */
export class ControllerClient {
  readonly #options: ControllerClientOptions;

  constructor(options: ControllerClientOptions) {
    this.#options = options;
  }

  async call<T>(
    ask: (client: RpcClient<typeof CoordinatorService>) => Promise<T>,
    options: ControllerCallOptions = {},
  ): Promise<T> {
    const { clock, view, transport, retryMs } = this.#options;
    const deadlineMs = clock.monotonic() + retryMs;
    for (;;) {
      try {
        return await ask(createClient(CoordinatorService, transport()));
      } catch (thrown) {
        const error = toOttlaError(thrown);
        if (!mayAskAgain(error, options)) throw error;
        const away = await view.refresh().then(() => undefined, toOttlaError);
        if (clock.monotonic() + BACKOFF_MS > deadlineMs)
          throw away === undefined ? error : storeIsAway(error, away);
        await clock.sleep(BACKOFF_MS);
      }
    }
  }
}

/** Without the store no coordinator can be elected: that, rather than who was the last one, is the news. */
function storeIsAway(error: OttlaError, away: OttlaError): OttlaError {
  if (error.code !== "NOT_CONTROLLER") return error;
  const message = `no coordinator is active, as the metadata store does not answer: ${away.message}`;
  return new OttlaError("METADATA_UNAVAILABLE", message, { cause: error });
}

function mayAskAgain(error: OttlaError, { isRepeatable = false }: ControllerCallOptions): boolean {
  if (NOT_DONE.has(error.code) || error.metadata[NOT_SENT] === "true") return true;
  return isRepeatable && UNKNOWN.has(error.code);
}
