export type { EtcdCredentials } from "./etcd-endpoint.ts";
export { EtcdStore, type EtcdStoreOptions, type EtcdTls } from "./etcd-store.ts";
export { ETCD_VERSION_RECOMMENDED, ETCD_VERSION_REQUIRED } from "./etcd-version.ts";
