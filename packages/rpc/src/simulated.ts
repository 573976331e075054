export type {
  CallEnd,
  DialHandlers,
  SimulatedConnection,
  SimulatedDialer,
  SimulatedWire,
} from "./simulated-network.ts";
export { SimulatedServer, type SimulatedServerOptions } from "./simulated-server.ts";
export { SimulatedTransport, type SimulatedTransportOptions } from "./simulated-transport.ts";
