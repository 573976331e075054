export type { EtcdCredentials } from "./etcd-endpoint.ts";
export { type EtcdSettings, readEtcdSettings } from "./etcd-settings.ts";
export { EtcdStore, type EtcdStoreOptions } from "./etcd-store.ts";
export type { EtcdTls } from "./etcd-tls.ts";
export { ETCD_VERSION_RECOMMENDED, ETCD_VERSION_REQUIRED } from "./etcd-version.ts";
