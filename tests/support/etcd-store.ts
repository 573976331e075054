import { EtcdStore, type EtcdStoreOptions } from "@ottla/metadata/etcd";
import { nullLogger, systemClock, systemRandom } from "@ottla/runtime";

/** A client of the etcd behind `endpoints`. */
export function openEtcdStore(
  endpoints: readonly string[],
  options: Partial<EtcdStoreOptions> = {},
): EtcdStore {
  return new EtcdStore({
    endpoints,
    clock: systemClock,
    random: systemRandom,
    logger: nullLogger,
    ...options,
  });
}
