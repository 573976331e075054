import { type Channel, connectivityState } from "@grpc/grpc-js";
import type { Clock } from "@ottla/runtime";

export interface ConnectWatchOptions {
  readonly clock: Clock;
  /** How long one attempt to connect may take. */
  readonly timeoutMs: number;
  readonly onConnected: () => void;
  /** An attempt took longer: grpc-js itself would wait for it without end. */
  readonly onStuck: () => void;
}

/**
 * Watches a channel until it is connected, or stuck in one attempt: a network that swallows packets answers
 * neither the connection nor HTTP/2's first words, and when it is well again nothing tells.
 */
export function watchConnecting(channel: Channel, options: ConnectWatchOptions): void {
  const { clock, timeoutMs, onConnected, onStuck } = options;
  const state = channel.getConnectivityState(false);
  if (state === connectivityState.READY) return onConnected();
  if (state === connectivityState.SHUTDOWN) return;
  const isTrying = state === connectivityState.CONNECTING;
  const deadline = isTrying ? clock.now() + timeoutMs : Number.POSITIVE_INFINITY;
  channel.watchConnectivityState(state, deadline, (late) => {
    if (late === undefined) watchConnecting(channel, options);
    else onStuck();
  });
}
