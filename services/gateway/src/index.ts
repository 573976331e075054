export { type Gateway, type GatewayOptions, startGateway } from "./main.ts";
