import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ClusterView } from "@ottla/metadata";
import type { ConsumeRequest, ConsumeResponseSchema } from "@ottla/proto/ottla/v1/group";
import type { CallContext, MessageStream } from "@ottla/rpc";
import type { Clock, Logger, Random, Tracer } from "@ottla/runtime";
import type { ConnectionLimits } from "../connection-limits.ts";
import type { GatewayMetrics } from "../gateway-metrics.ts";
import { ConsumeSession } from "./consume-session.ts";
import type { GroupAdminOptions } from "./group-admin.ts";
import { checkSubscription } from "./subscription.ts";

export interface ConsumeOptions extends GroupAdminOptions {
  readonly view: ClusterView;
  readonly connections: ConnectionLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  readonly metrics: GatewayMetrics;
  readonly tracer: Tracer | undefined;
}

export type ConsumeStream = MessageStream<MessageInitShape<typeof ConsumeResponseSchema>, ConsumeRequest>;

/**
 * Serves `Consume`: the client is a member of its group as long as the stream lives. It leaves when it closes
 * its side, when the stream breaks, and when the gateway stops; then it may come back through another.
 */
export async function serveConsume(
  options: ConsumeOptions,
  stream: ConsumeStream,
  context: CallContext,
): Promise<void> {
  const received = stream.received[Symbol.asyncIterator]();
  const first = await received.next();
  // A gateway that stops ends the stream, perhaps before the client's first word is there.
  if (first.done === true) context.signal.throwIfAborted();
  const request = first.done === true ? undefined : first.value;
  const subscription = await checkSubscription(request, options.topics, options.logger);
  await options.connections.withRead(context, 1, async (signal) => {
    const session = new ConsumeSession({ ...options, subscription, stream, peer: context.peer, signal });
    await session.run({ [Symbol.asyncIterator]: () => received });
  });
}
