export { BytesInPieces } from "./bytes-in-pieces.ts";
export {
  ANONYMOUS,
  type ClusterIdentity,
  clusterMetadata,
  principalOf,
  requireClusterSecret,
  storedSecretProof,
} from "./cluster-secret.ts";
export { createClient } from "./create-client.ts";
export { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";
export { NOT_SENT } from "./grpc-status.ts";
export { GrpcTransport, type GrpcTransportOptions } from "./grpc-transport.ts";
export { HealthService } from "./health.ts";
export { InProcessTransport, type InProcessTransportOptions } from "./in-process-transport.ts";
export type {
  CallContext,
  CallOptions,
  ClientStream,
  MessageStream,
  MethodCall,
  MethodHandler,
  RpcClient,
  ServiceImplementation,
  Transport,
} from "./service.ts";
export { ServiceRegistry } from "./service-registry.ts";
export { errorFromMessage, errorToMessage } from "./status.ts";
export { rpcAttributes, traceMetadata } from "./trace-metadata.ts";
