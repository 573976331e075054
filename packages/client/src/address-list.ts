import { OttlaError } from "@ottla/errors";
import type { Random } from "@ottla/runtime";

const DEFAULT_ADDRESS = "localhost:50051";

/** What grpc-js understands by itself, such as "ipv4:10.0.0.1:50051,10.0.0.2:50051". */
const TARGET = /^(?:ipv4|ipv6|dns|unix):/;
const HOST_AND_PORT = /^(?:\[[\d.:a-z%]+\]|[^\s:/@[\]]+):\d{1,5}$/i;

/**
 * The addresses with commas between them, in a random order: clients that know the same gateways spread over
 * them. Throws INVALID_REQUEST for what is no address.
 */
export function addressList(given: string | readonly string[] | undefined, random: Random): string {
  if (typeof given === "string" && TARGET.test(given)) return given;
  const addresses = (typeof given === "string" ? [given] : (given ?? [DEFAULT_ADDRESS]))
    .flatMap((each) => each.split(","))
    .map((each) => each.trim());
  const wrong = addresses.find((each) => !HOST_AND_PORT.test(each));
  if (wrong !== undefined || addresses.length === 0) {
    const message = `address must be host:port, or several with commas between, not "${String(given)}"`;
    throw new OttlaError("INVALID_REQUEST", message, {
      metadata: { field: "address", value: String(given) },
    });
  }
  return shuffled(addresses, random).join(",");
}

function shuffled(addresses: readonly string[], random: Random): string[] {
  const left = [...addresses];
  const order: string[] = [];
  while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1));
  return order;
}
