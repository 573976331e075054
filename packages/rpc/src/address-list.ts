import { type ChannelOptions, experimental } from "@grpc/grpc-js";

type Uri = experimental.GrpcUri;
type Endpoint = experimental.Endpoint;
type Found = experimental.StatusOr<Endpoint[]>;

/** The scheme under which grpc-js finds the resolver below. */
const SCHEME = "ottla-list";

/**
 * What grpc-js is to connect to: for "host:port,host:port" a target of all of them. It takes the first that
 * answers, and the next when that one is lost. Its own schemes, such as "ipv4:", pass as they are.
 */
export function targetOf(address: string): string {
  if (!address.includes(",") || /^(?:ipv4|ipv6|dns|unix):/.test(address)) return address;
  experimental.registerResolver(SCHEME, AddressListResolver);
  return `${SCHEME}:${address}`;
}

/**
 * Looks every address of a list up, as grpc-js does with a single one. A name that is not found is left out.
 */
class AddressListResolver implements experimental.Resolver {
  readonly #resolvers: readonly experimental.Resolver[];
  readonly #listener: experimental.ResolverListener;
  readonly #found: (Found | undefined)[];
  /** The newest endpoints that were told. */
  #told = "";

  constructor(target: Uri, listener: experimental.ResolverListener, options: ChannelOptions) {
    const addresses = target.path.split(",");
    this.#listener = listener;
    this.#found = addresses.map(() => undefined);
    this.#resolvers = addresses.map((path, index) =>
      experimental.createResolver({ scheme: "dns", path }, (found) => this.#take(index, found), options),
    );
  }

  static getDefaultAuthority({ path }: Uri): string {
    return path.split(",")[0] ?? path;
  }

  updateResolution(): void {
    for (const resolver of this.#resolvers) resolver.updateResolution();
  }

  destroy(): void {
    for (const resolver of this.#resolvers) resolver.destroy();
    this.#found.fill(undefined);
    this.#told = "";
  }

  #take(index: number, found: Found): boolean {
    // What was found before is better than nothing.
    if (found.ok || this.#found[index]?.ok !== true) this.#found[index] = found;
    // With half of the list a call could fail although the other half answers.
    if (this.#found.includes(undefined)) return true;
    const all = new Map<string, Endpoint>();
    for (const each of this.#found) {
      if (each?.ok !== true) continue;
      for (const endpoint of each.value) all.set(experimental.endpointToString(endpoint), endpoint);
    }
    if (all.size === 0) return this.#listener(found, {}, null, "");
    const endpoints = [...all.keys()].join(" ");
    if (endpoints === this.#told) return true;
    this.#told = endpoints;
    return this.#listener(experimental.statusOrFromValue([...all.values()]), {}, null, "");
  }
}
